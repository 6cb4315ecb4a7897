import Base
import Engine
import Images
import Kernel
import Networks
import Services

/// `GET /metrics`: what Prometheus scrapes.
struct MetricsRoutes {
    private let collector: MetricsCollector

    init(engine: Engine, cluster: Cluster, requests: RequestMetrics) {
        collector = MetricsCollector(engine: engine, cluster: cluster, requests: requests)
    }

    func register(_ router: inout Router) {
        router.get("/metrics") { _ in
            Response(headers: [("Content-Type", MetricsText.contentType)], body: .bytes(await collector.page()))
        }
    }
}

/// Makes the page; who asks while one is being made gets that one, so that many scrapers cost no more than one.
private actor MetricsCollector {
    private let engine: Engine
    private let cluster: Cluster
    private let requests: RequestMetrics
    private var underWay: Task<[UInt8], Never>?

    init(engine: Engine, cluster: Cluster, requests: RequestMetrics) {
        self.engine = engine
        self.cluster = cluster
        self.requests = requests
    }

    func page() async -> [UInt8] {
        if let underWay { return await underWay.value }
        let task = Task { await make() }
        underWay = task
        let page = await task.value
        underWay = nil
        return page
    }

    private func make() async -> [UInt8] {
        let begin = SystemClock.monotonicNanoseconds()
        var page = MetricsPage()
        page.facts = MetricsPage.Facts(
            version: engine.configuration.version, accelerator: await engine.accelerator() ?? "",
            started: engine.started)
        page.usage = await engine.usage()
        page.services = await cluster.usage()
        page.isManager = await cluster.isActive
        page.requests = requests.snapshot
        page.connections = requests.openConnections
        page.events = engine.events.counts
        page.images = await engine.images.list().count
        page.volumes = await engine.volumes.list().count
        page.networks = await engine.networks.list().count
        var text = MetricsText()
        page.write(to: &text)
        MetricsPage.writeDuration(Double(SystemClock.monotonicNanoseconds() - begin) / 1e9, to: &text)
        return text.bytes
    }
}
