import Base
import Client
import Glibc
import Kernel

/// Starts a container, and tells on standard error what the engine is at when that takes long: the first VM of a size
/// waits for its template, the first of all for a kernel.
enum ContainerStarting {
    private static let patience: Int32 = 1000

    static func start(_ id: String, _ client: EngineClient) throws {
        let asked = SystemClock.now()
        let answer = try client.begin(.post(API.container(id, "/start")))
        if !isReadable(answer.descriptor.raw, milliseconds: patience) { try tell(since: asked, answer, client) }
        _ = try client.finish(answer).json()
    }

    private static func tell(since: Timestamp, _ answer: HTTPConnection, _ client: EngineClient) throws {
        let query = try API.filters(["type=template"]) + [("since", TimeText.unix(since))]
        let events = try client.finish(try client.begin(.get("/events", query: query)))
        while true {
            var set = [pollfd(fd: answer.descriptor.raw, POLLIN), pollfd(fd: events.descriptor, POLLIN)]
            guard poll(&set, 2, -1) > 0 else { continue }
            if set[0].revents != 0 { return }
            // An engine that ends says so in the start's answer.
            guard let event = try events.nextDocument() else { return }
            if let text = text(of: event) { StandardStreams.error(text + "\n") }
        }
    }

    private static func text(of event: JSON) -> String? {
        let attributes = event["Actor"]["Attributes"]
        switch event["Action"].string {
        case "download": return "downloading a kernel for virtual machines"
        case "boot":
            let accelerator = attributes["accelerator"].string == "kvm" ? "" : ", without hardware virtualization"
            return "booting the template \(event["Actor"]["ID"].plain) of virtual machines (kernel "
                + "\(attributes["kernel"].plain)\(accelerator)); the next ones are its clones"
        case "ready":
            return "the template \(event["Actor"]["ID"].plain) is ready after \(attributes["seconds"].plain) s"
        default: return nil
        }
    }

    private static func isReadable(_ descriptor: Int32, milliseconds: Int32) -> Bool {
        var set = [pollfd(fd: descriptor, POLLIN)]
        return poll(&set, 1, milliseconds) > 0
    }
}
