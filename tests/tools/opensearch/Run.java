/*
 * One OpenSearch node from its jars, run straight from source by services.py:
 *
 *     java -cp "JARS/*" Run.java HOME [setting=value ...]
 *
 * The distribution's own main wants a folder of plugins and a security policy;
 * a Node with its plugins on the class path wants neither. Nothing else of the
 * server is changed. Ends on SIGTERM as the real one does.
 */
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.reindex.ReindexPlugin; // _delete_by_query
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

public class Run extends Node {
	private static final List<Class<? extends Plugin>> PLUGINS = List.of(
	    Netty4Plugin.class, CommonAnalysisPlugin.class, PainlessPlugin.class, ReindexPlugin.class);

	private Run(Settings settings) {
		super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test"),
		    new ArrayList<>(PLUGINS), false);
	}

	public static void main(String[] args) throws Exception {
		Settings.Builder settings = Settings.builder()
		    .put("path.home", Path.of(args[0]).toString())
		    .put("node.name", "test")
		    .put("cluster.name", "slipring-test")
		    .put("discovery.type", "single-node")
		    .put("transport.type", "netty4")
		    .put("http.type", "netty4")
		    .put("network.host", "127.0.0.1")
		    .put("cluster.routing.allocation.disk.threshold_enabled", false);
		for (String s : Arrays.asList(args).subList(1, args.length))
			settings.put(s.substring(0, s.indexOf('=')), s.substring(s.indexOf('=') + 1));
		Run node = new Run(settings.build());
		node.start();
		CountDownLatch end = new CountDownLatch(1);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try {
				node.close();
			} catch (java.io.IOException e) {
				System.err.println(e);
			}
			end.countDown();
		}));
		end.await();
	}
}
