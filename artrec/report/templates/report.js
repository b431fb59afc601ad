
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
  const { styles, artists, points } = JSON.parse(holder.textContent);
  const canvas = one("#map-canvas");
  const card = one("#map-card");
  const boxes = all("[data-style]");
  const pen = canvas.getContext("2d");
  const bounds = { x: Math.max(1, ...points.map((p) => p[0])), y: Math.max(1, ...points.map((p) => p[1])) };
  const view = { zoom: 1, x: 0, y: 0 };
  let shown = new Set(styles.keys());
  let chosen = -1;
  let size = { width: 1, height: 1 };
  let colours = [];

  const place = ([x, y]) => {
    const margin = 18;
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
    points.forEach((point) => {
      if (!shown.has(point[2])) return;
      const [x, y] = place(point);
      const style = styles[point[2]];
      pen.fillStyle = colours[style.hue];
      mark(x, y, style.shape, r);
      pen.fill();
    });
    pen.globalAlpha = 1;
    if (chosen < 0) return;
    const [x, y] = place(points[chosen]);
    pen.strokeStyle = colours[10];
    pen.lineWidth = 2;
    mark(x, y, 0, r + 5);
    pen.stroke();
  };

  const nearest = (x, y, within) => {
    let best = -1;
    let least = within * within;
    points.forEach((point, index) => {
      if (!shown.has(point[2])) return;
      const [px, py] = place(point);
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
    const [x, y] = place(points[chosen]);
    let best = -1;
    let least = Infinity;
    points.forEach((point, index) => {
      if (index === chosen || !shown.has(point[2])) return;
      const [px, py] = place(point);
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
    canvas.classList.toggle("zoomed", view.zoom > 1);
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
    if (held && event.buttons && view.zoom > 1) {
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

  const filter = () => {
    shown = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.dataset.style)));
    if (chosen >= 0 && !shown.has(points[chosen][2])) {
      chosen = -1;
      card.className = "card";
      card.replaceChildren(line("No image chosen.", "soft"));
    }
    draw();
  };
  const tick = (checked) => { boxes.forEach((box) => { box.checked = checked; }); filter(); };
  boxes.forEach((box) => box.addEventListener("change", filter));
  one("#map-all").addEventListener("click", () => tick(true));
  one("#map-none").addEventListener("click", () => tick(false));

  const paint = () => {
    const look = getComputedStyle(root);
    colours = [...Array(10).keys()].map((hue) => look.getPropertyValue("--c" + hue).trim());
    colours.push(look.getPropertyValue("--ink").trim());
    draw();
  };
  document.addEventListener("dressed", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  paint();
  let first = -1; // so that the card says what it is for: what lies nearest the middle
  let least = Infinity;
  points.forEach((point, index) => {
    const apart = (point[0] - bounds.x / 2) ** 2 + (point[1] - bounds.y / 2) ** 2;
    if (point[5] && apart < least) { least = apart; first = index; }
  });
  choose(first);
  new ResizeObserver(draw).observe(canvas);
})();
