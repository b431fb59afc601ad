
"use strict";
(() => {
  const one = (selector, from) => (from || document).querySelector(selector);
  const all = (selector, from) => [...(from || document).querySelectorAll(selector)];
  const root = document.documentElement;

  // -- light, dark, or what the system says
  const themes = ["auto", "light", "dark"];
  const button = one("#theme");
  const remembered = (value) => {
    try { // a page from a disk may have no storage
      if (value !== undefined) localStorage.setItem("artrec-theme", value);
      return localStorage.getItem("artrec-theme");
    } catch { return null; }
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  const dress = () => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.dataset.theme = theme;
    one("b", button).textContent = theme;
    document.dispatchEvent(new Event("dressed"));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % 3];
    remembered(theme);
    dress();
  });
  dress();

  // -- tabs: without this script, and on paper, all panels stand below each other
  for (const group of all(".tabs")) {
    const list = one(".tablist", group);
    const tabs = all("[data-tab]", list);
    const choose = (tab, focus) => {
      for (const each of tabs) {
        const chosen = each === tab;
        each.setAttribute("aria-selected", chosen);
        each.tabIndex = chosen ? 0 : -1;
        document.getElementById(each.dataset.tab).hidden = !chosen;
      }
      if (focus) tab.focus();
    };
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", group.dataset.tabs);
    tabs.forEach((tab, place) => {
      const panel = document.getElementById(tab.dataset.tab);
      tab.id = "tab-" + tab.dataset.tab;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const ends = { Home: 0, End: tabs.length - 1 }[event.key];
        if (step === undefined && ends === undefined) return;
        event.preventDefault();
        choose(tabs[ends !== undefined ? ends : (place + step + tabs.length) % tabs.length], true);
      });
    });
    if (tabs.length) choose(tabs[0]);
    list.hidden = tabs.length < 2;
  }

  // -- what is folded in is printed all the same
  addEventListener("beforeprint", () => all("details").forEach((each) => {
    each.dataset.was = each.open;
    each.open = true;
  }));
  addEventListener("afterprint", () => all("details").forEach((each) => {
    each.open = each.dataset.was === "true";
  }));

  // -- the map
  const holder = one("#map-data");
  if (!holder) return;
  const { styles, artists, points, by, views } = JSON.parse(holder.textContent);
  const canvas = one("#map-canvas");
  const card = one("#map-card");
  const legends = all("[data-by]");
  const colourings = Object.fromEntries(by.map((each) => [each.key, each]));
  colourings.style = { groups: styles, of: points.map((point) => point[2]) };
  const flat = { places: points };
  let colouring = colourings.style;
  let drawn = views[0] || flat;
  const pen = canvas.getContext("2d");
  const largest = (axis) => drawn.places.reduce((most, place) => Math.max(most, place[axis]), 1);
  let bounds = { x: 1, y: 1, z: 1 };
  const view = { zoom: 1, x: 0, y: 0, turn: 0.5, tilt: 0.35 };
  let shown = new Set();
  let chosen = -1;
  let size = { width: 1, height: 1 };
  let colours = [];

  const turned = ([x, y, z]) => { // about the middle; what is nearer is not larger
    const [a, b, c] = [x - bounds.x / 2, y - bounds.y / 2, z - bounds.z / 2];
    const [sin, cos] = [Math.sin(view.turn), Math.cos(view.turn)];
    const [up, flat] = [Math.sin(view.tilt), Math.cos(view.tilt)];
    return [a * cos + c * sin, b * flat - (c * cos - a * sin) * up];
  };

  const place = (index) => {
    const margin = 18;
    const at = drawn.places[index];
    if (drawn.deep) {
      const reach = Math.hypot(bounds.x, bounds.y, bounds.z);
      const scale = view.zoom * (Math.min(size.width, size.height) - 2 * margin) / reach * 1.7;
      const [a, b] = turned(at);
      return [size.width / 2 + scale * a, size.height / 2 + scale * b];
    }
    const [x, y] = at;
    const scale = Math.min((size.width - 2 * margin) / bounds.x, (size.height - 2 * margin) / bounds.y);
    const left = (size.width - scale * bounds.x) / 2 + scale * x;
    const top = (size.height - scale * bounds.y) / 2 + scale * y;
    return [
      (left - size.width / 2) * view.zoom + size.width / 2 + view.x,
      (top - size.height / 2) * view.zoom + size.height / 2 + view.y,
    ];
  };

  const mark = (x, y, shape, r) => {
    pen.beginPath();
    if (shape === 0) pen.arc(x, y, r, 0, 7);
    else if (shape === 1) {
      pen.moveTo(x, y - 1.25 * r); pen.lineTo(x + 1.15 * r, y + 0.85 * r);
      pen.lineTo(x - 1.15 * r, y + 0.85 * r); pen.closePath();
    } else pen.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  };

  const draw = () => {
    const ratio = devicePixelRatio || 1;
    size = { width: canvas.clientWidth, height: canvas.clientHeight };
    canvas.width = Math.round(size.width * ratio);
    canvas.height = Math.round(size.height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const r = (points.length > 3000 ? 2.2 : points.length > 800 ? 3 : 4.5) * Math.sqrt(view.zoom);
    pen.globalAlpha = 0.8;
    points.forEach((point, index) => {
      const of = colouring.of[index];
      if (!shown.has(of)) return;
      const [x, y] = place(index);
      const look = colouring.groups[of];
      pen.fillStyle = colours[look.hue];
      mark(x, y, look.shape, r);
      pen.fill();
    });
    pen.globalAlpha = 1;
    if (chosen < 0) return;
    const [x, y] = place(chosen);
    pen.strokeStyle = colours[10];
    pen.lineWidth = 2;
    mark(x, y, 0, r + 5);
    pen.stroke();
  };

  const nearest = (x, y, within) => {
    let best = -1;
    let least = within * within;
    points.forEach((point, index) => {
      if (!shown.has(colouring.of[index])) return;
      const [px, py] = place(index);
      const apart = (px - x) ** 2 + (py - y) ** 2;
      if (apart < least) { least = apart; best = index; }
    });
    return best;
  };

  const line = (text, kind) => {
    const made = document.createElement("p");
    const inner = document.createElement("bdi");
    inner.textContent = text;
    made.className = kind || "";
    made.append(inner);
    return made;
  };

  const choose = (index) => {
    if (index === chosen || index < 0) return;
    chosen = index;
    const [, , style, title, artist, thumb] = points[index];
    const words = document.createElement("div");
    words.append(line(title), line(artists[artist], "soft"), line(styles[style].name, "soft"));
    const cluster = colourings.cluster;
    if (cluster) words.append(line(cluster.groups[cluster.of[index]].name, "soft"));
    const mount = document.createElement("span");
    mount.className = "mount";
    if (/^[0-9a-f]{16}$/.test(thumb)) {
      const image = document.createElement("img");
      image.src = "thumbs/" + thumb + ".jpg";
      image.alt = "";
      mount.append(image);
    } else {
      mount.append(Object.assign(document.createElement("span"), { className: "blank", textContent: "no picture here" }));
    }
    card.className = "card full";
    card.replaceChildren(mount, words);
    draw();
  };

  const towards = (dx, dy) => {
    if (chosen < 0) return choose(nearest(size.width / 2, size.height / 2, Infinity));
    const [x, y] = place(chosen);
    let best = -1;
    let least = Infinity;
    points.forEach((point, index) => {
      if (index === chosen || !shown.has(colouring.of[index])) return;
      const [px, py] = place(index);
      const along = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along <= 0 || aside > along) return;
      const apart = along + 2 * aside;
      if (apart < least) { least = apart; best = index; }
    });
    choose(best);
  };

  const zoom = (factor) => {
    const before = view.zoom;
    view.zoom = factor ? Math.min(12, Math.max(1, view.zoom * factor)) : 1;
    const change = view.zoom === 1 ? 0 : view.zoom / before;
    view.x *= change;
    view.y *= change;
    canvas.classList.toggle("zoomed", view.zoom > 1 || Boolean(drawn.deep));
    draw();
  };

  let held = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY };
    choose(nearest(...at(event), 28));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held && event.buttons && drawn.deep) {
      view.turn += (event.clientX - held.x) / 120;
      view.tilt = Math.max(-1.5, Math.min(1.5, view.tilt + (event.clientY - held.y) / 120));
      held = { x: event.clientX, y: event.clientY };
      draw();
    } else if (held && event.buttons && view.zoom > 1) {
      view.x += event.clientX - held.x;
      view.y += event.clientY - held.y;
      held = { x: event.clientX, y: event.clientY };
      draw();
    } else if (event.pointerType === "mouse") choose(nearest(...at(event), 14));
  });
  addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const factor = { "+": 1.6, "=": 1.6, "-": 0.625, "0": 0 }[event.key];
    if (step) towards(...step);
    else if (factor !== undefined && !event.ctrlKey && !event.metaKey) zoom(factor);
    else return;
    event.preventDefault();
  });
  all("[data-zoom]").forEach((each) => each.addEventListener("click", () => zoom(Number(each.dataset.zoom))));

  const boxes = () => all("[data-group]", legends.find((each) => !each.hidden));
  const filter = () => {
    const ticked = boxes().filter((box) => box.checked);
    shown = new Set(ticked.map((box) => Number(box.dataset.group)));
    if (chosen >= 0 && !shown.has(colouring.of[chosen])) {
      chosen = -1;
      card.className = "card";
      card.replaceChildren(line("No image chosen.", "soft"));
    }
    draw();
  };
  legends.forEach((legend) => {
    legend.addEventListener("change", filter);
    all("[data-all]", legend).forEach((button) => button.addEventListener("click", () => {
      boxes().forEach((box) => { box.checked = button.dataset.all === "1"; });
      filter();
    }));
  });

  const colour = (key) => {
    colouring = colourings[key];
    legends.forEach((legend) => { legend.hidden = legend.dataset.by !== key; });
    filter();
  };
  const look = (found) => {
    drawn = found;
    bounds = { x: largest(0), y: largest(1), z: drawn.deep ? largest(2) : 1 };
    one("#map-turns").hidden = !drawn.deep;
    zoom(0);
  };
  const choices = one(".choices");
  if (choices) choices.hidden = false;
  const [colourBy, lookAt] = [one("#map-by"), one("#map-view")];
  if (colourBy) {
    colourBy.value = "style";
    colourBy.addEventListener("change", () => colour(colourBy.value));
  }
  if (lookAt) {
    lookAt.value = "0";
    lookAt.addEventListener("change", () => look(views[Number(lookAt.value)]));
  }
  all("[data-turn]").forEach((each) => each.addEventListener("click", () => {
    view.turn += Number(each.dataset.turn);
    draw();
  }));

  const paint = () => {
    const worn = getComputedStyle(root);
    colours = [...Array(10).keys()].map((hue) => worn.getPropertyValue("--c" + hue).trim());
    colours.push(worn.getPropertyValue("--ink").trim());
    draw();
  };
  document.addEventListener("dressed", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  look(drawn);
  paint();
  filter();
  let first = -1; // so that the card says what it is for: what lies nearest the middle
  let least = Infinity;
  points.forEach((point, index) => {
    const [x, y] = drawn.places[index];
    const apart = (x - bounds.x / 2) ** 2 + (y - bounds.y / 2) ** 2;
    if (point[5] && apart < least) { least = apart; first = index; }
  });
  choose(first);
  new ResizeObserver(draw).observe(canvas);
})();
