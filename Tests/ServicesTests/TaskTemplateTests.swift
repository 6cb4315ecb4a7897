import Base
import Planning
import Testing

@testable import Services

struct TaskTemplateTests {
    private func template(slot: Int = 3) throws -> TaskTemplate {
        let counter = VersionCounter()
        let spec = try ServiceSpec(
            json: [
                "Name": "web", "Labels": ["tier": "front"], "TaskTemplate": ["ContainerSpec": ["Image": "busybox"]],
            ])
        let service = ServiceRecord(spec: spec, counter: counter)
        let node = NodeRecord(address: "127.0.0.1", availability: .active, counter: counter)
        return TaskTemplate(
            service: service, task: TaskRecord(service: service, slot: slot, nodeID: node.id, counter: counter),
            node: node)
    }

    @Test func placeholdersAreFilledIn() throws {
        let template = try template()
        #expect(try template.fill("{{.Service.Name}}-{{ .Task.Slot }}") == "web-3")
        #expect(try template.fill(#"{{index .Service.Labels "tier"}}{x}"#) == "front{x}")
        #expect(try template.fill("plain { text }") == "plain { text }")
    }

    @Test(arguments: ["{{.Task.Slot", "{{.Nothing}}", "a {{range x}}"])
    func unknownOnesAreRefused(_ text: String) throws {
        let template = try template()
        #expect(throws: SkalaError.self) { try template.fill(text) }
    }
}
