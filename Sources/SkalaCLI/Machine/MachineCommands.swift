import Base
import Client
import Kernel

/// `skala machine`: virtual machines that boot from their own disk. They are run, stopped and listed like containers.
enum MachineCommands {
    static let group = Command(
        "machine", "Virtual machines with a disk of their own", "COMMAND", work: .group([`import`, resize]))

    private static let `import` = Command(
        "import", "Make an image of a machine's disk, qcow2 or raw", "NAME[:TAG] FILE|-", 2...2, completes: .files,
        examples: [
            "skala machine import debian-disk ./debian-12-generic-amd64.qcow2",
            "skala run -dit --isolation machine --name db -m 2g --storage-opt size=20G debian-disk",
        ]
    ) { call in
        let body = try FileTransfer.upload(call.arguments.positional[1], contentType: "application/octet-stream")
        let request = HTTPRequest(
            "POST", "/skala/v1/machines/import", query: [("reference", call.arguments.positional[0])], body: body)
        try call.output.line(try call.client.json(request)["Id"].plain)
        return 0
    }

    private static let resize = Command(
        "resize", "Make a machine's disk larger, also while it runs", "MACHINE SIZE", 2...2, completes: .containers,
        examples: ["skala machine resize db 40G"]
    ) { call in
        let name = call.arguments.positional[0]
        let size = try ByteSize.parse(call.arguments.positional[1])
        let path = "/skala/v1/machines/\(PercentEncoding.encode(name))/resize"
        try call.client.json(.post(path, ["Size": JSON(size)]))
        try call.output.line(name)
        return 0
    }
}
