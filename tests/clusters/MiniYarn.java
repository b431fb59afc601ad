import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;
import org.apache.hadoop.yarn.server.resourcemanager.scheduler.ResourceScheduler;
import org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler;

/** A resource manager and two node managers in one process, until its standard input ends. */
public class MiniYarn {
  private static final int NODES = 2;

  public static void main(String[] arguments) throws Exception {
    Path site = Path.of(arguments[0]);
    try (MiniYARNCluster cluster = new MiniYARNCluster("artrec", NODES, 1, 1)) {
      cluster.init(settings());
      cluster.start();
      if (!cluster.waitForNodeManagersToConnect(60_000)) {
        System.exit(1);
      }
      write(cluster, site);
      System.in.transferTo(OutputStream.nullOutputStream());
    }
    System.exit(0);
  }

  private static YarnConfiguration settings() {
    YarnConfiguration settings = new YarnConfiguration();
    settings.setClass(YarnConfiguration.RM_SCHEDULER, FifoScheduler.class, ResourceScheduler.class);
    settings.setInt(YarnConfiguration.RM_SCHEDULER_MINIMUM_ALLOCATION_MB, 128);
    settings.setInt(YarnConfiguration.NM_PMEM_MB, 4096);
    settings.setInt(YarnConfiguration.NM_VCORES, 4);
    // Containers that use more than they were given are killed, as on any cluster; addresses that
    // are only mapped do not count.
    settings.setBoolean(YarnConfiguration.NM_VMEM_CHECK_ENABLED, false);
    // A machine whose disk is nine tenths full serves the tests all the same.
    settings.setBoolean(YarnConfiguration.NM_DISK_HEALTH_CHECK_ENABLE, false);
    return settings;
  }

  /** Beside its place and moved there: whoever waits for the file finds it whole. */
  private static void write(MiniYARNCluster cluster, Path site) throws Exception {
    Path part = site.resolveSibling("part");
    try (OutputStream out = Files.newOutputStream(part)) {
      cluster.getConfig().writeXml(out);
    }
    Files.move(part, site, StandardCopyOption.ATOMIC_MOVE);
  }
}
