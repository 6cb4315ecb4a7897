import Base
import Client
import Glibc
import Kernel

/// `skala kernel`
enum KernelCommands {
    static let group = Command(
        "kernel", "Kernels that virtual machines boot", "COMMAND", work: .group([list, pull, add, use, remove]))

    private static func path(_ release: String) -> String { "/skala/v1/kernels/\(PercentEncoding.encode(release))" }

    private static let list = Command(
        "ls", "List kernels", "[OPTIONS]", 0...0, options: [.quiet, .format], examples: ["skala kernel ls"]
    ) { call in
        let kernels = try call.client.json(.get("/skala/v1/kernels"))["Kernels"].array ?? []
        let rows = kernels.map { kernel -> JSON in
            ["Release": kernel["Release"], "Current": kernel["Current"].bool == true ? "*" : ""]
        }
        if call.arguments.flag("quiet"), !call.arguments.has("format") {
            try call.output.write(rows.map { $0["Release"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(rows, [("KERNEL", "Release"), ("CURRENT", "Current")], format: call.arguments["format"])
        return 0
    }

    private static let pull = Command(
        "pull", "Download the distribution's kernel and give it to the virtual machines started from now on", "", 0...0,
        examples: ["skala kernel pull"]
    ) { call in
        // On standard error: the release alone is the command's output.
        StandardStreams.error("downloading the distribution's kernel for virtual machines\n")
        try call.output.line(try call.client.json(.post("/skala/v1/kernels/pull", [:]))["Release"].plain)
        return 0
    }

    private static let add = Command(
        "add", "Add a kernel: a Debian package's, without installing it, one that was built by hand, or an image's",
        "[OPTIONS] [FILE]", 0...1,
        options: [
            .value(
                "modules", "FOLDER", "The kernel's modules: /lib/modules/RELEASE, when FILE is a vmlinux or bzImage"),
            .value(
                "image", "IMAGE", "An image with /boot/vmlinuz-RELEASE and /lib/modules/RELEASE, pulled when missing"),
        ],
        examples: [
            "skala kernel add ./linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb",
            "skala kernel add ./vmlinux --modules /lib/modules/6.12.4-own && skala run --kernel 6.12.4-own --isolation microvm alpine",
            "skala kernel add --image registry.example.org/kernels:6.12",
        ]
    ) { call in
        let request = HTTPRequest.post("/skala/v1/kernels/add", try source(call.arguments))
        let image = call.arguments["image"] ?? ""
        let added = try ImagePull.pullingWhenMissing(
            image,
            pull: {
                try ImagePull.pull(
                    image, platform: nil, client: call.client, display: ProgressDisplay(descriptor: 2))
            }, send: { try call.client.json(request) })
        try call.output.line(added["Release"].plain)
        return 0
    }

    private static func source(_ arguments: Arguments) throws -> JSON {
        guard let image = arguments["image"] else {
            guard let file = arguments.positional.first else {
                throw CommandFailure(1, "which kernel? Give a FILE, or --image IMAGE")
            }
            var body: JSON = ["Path": JSON(try absolute(file))]
            if let modules = arguments["modules"] { body["Modules"] = JSON(try absolute(modules)) }
            return body
        }
        guard arguments.positional.isEmpty, arguments["modules"] == nil else {
            throw CommandFailure(1, "--image needs neither a FILE nor --modules")
        }
        return ["Image": JSON(image)]
    }

    private static func absolute(_ file: String) throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard realpath(file, &buffer) != nil else { throw CommandFailure(1, "\(file): no such file") }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static let use = Command(
        "use", "Give a kernel to the virtual machines started from now on", "KERNEL", 1...1,
        examples: ["skala kernel use 6.1.0-56-cloud-amd64"]
    ) { call in
        let release = call.arguments.positional[0]
        try call.client.json(.post(path(release) + "/use", [:]))
        try call.output.line(release)
        return 0
    }

    private static let remove = Command(
        "rm", "Remove kernels", "KERNEL [KERNEL...]", Command.atLeast(1),
        examples: ["skala kernel rm 6.1.0-55-cloud-amd64"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { release in
            try call.client.json(.delete(path(release)))
            return release
        }
    }
}
