import Base
import Glibc
import Kernel
import Machines

/// Does in a clone, once and for nothing, what the start of a container takes.
enum WarmUp {
    private static let folder = "/run/skala"
    /// The init program. Without arguments it ends at once, so that one starts another and waits for it.
    private static let program = "/init"
    private static let deadline = 20.0

    /// The root file system for it, as a read-only disk. Blocking.
    static func makeRoot(_ path: String, program content: [UInt8]) throws {
        let folder = path + ".folder"
        defer { try? FileContents.removeTree(folder) }  // below the template's folder, which goes when this fails
        try FileContents.makeDirectories(folder + "/etc")
        try FileContents.overwrite(folder + program, with: content, mode: 0o755)
        try RootImage.make(layers: [folder], at: path)
    }

    static func run(_ machine: VirtualMachine) async throws {
        let timer = Task {
            try await Task.sleep(nanoseconds: UInt64(deadline * 1e9))
            machine.close()
        }
        defer { timer.cancel() }
        let files = ["resolv.conf", "hostname", "hosts"].map { name -> JSON in
            ["path": JSON("\(folder)/files/\(name)"), "content": "warm\n"]
        }
        let card = JSON(MachineCommand.hardwareAddress(card: 0))
        let entropy = Base64.encode((0..<16).map { _ in UInt8.random(in: 0...255) })
        _ = try await machine.request(
            "configure",
            [
                "time": JSON(SystemClock.now().nanoseconds), "entropy": JSON(entropy), "hostname": "warm",
                "files": JSON(files),
                "disks": [
                    [
                        "serial": JSON(MachineCommand.rootDisk), "type": "squashfs", "path": JSON(folder + "/image"),
                        "readonly": true,
                    ]
                ],
                // Of those that are for documentation (RFC 5737).
                "interfaces": [
                    [
                        "hardware": card, "mac": card, "addresses": [["address": "192.0.2.1", "prefix": 24]],
                        "gateways": ["192.0.2.2"],
                    ]
                ],
            ])
        let id = Identifier.make()
        _ = try await machine.request(
            "create",
            [
                "id": JSON(id), "spec": try spec(id), "start": true, "io": ["terminal": false, "stdin": false],
                "rootfs": [
                    "lower": [JSON(folder + "/image")], "upper": JSON(folder + "/disk/warm/upper"),
                    "work": JSON(folder + "/disk/warm/work"),
                ],
            ])
        while try await machine.request("state", ["id": JSON(id)])["status"].string != "stopped" {
            try await Task.sleep(nanoseconds: 2_000_000)
        }
        _ = try await machine.request("delete", ["id": JSON(id)])
        _ = try await machine.request(
            "configure",
            [
                "unmount": [JSON(folder + "/image")],
                "interfaces": [["hardware": card, "mac": card, "clear": true]],
            ])
    }

    /// A container as most are.
    private static func spec(_ id: String) throws(SkalaError) -> JSON {
        let record = try ContainerRecord(
            json: [
                "id": JSON(id), "name": "warm", "config": ["Cmd": [JSON(program), JSON(program)]], "hostConfig": [:],
            ])
        var spec = ContainerSpec(
            record: record, networkNamespace: .machine,
            etcFiles: ["resolv.conf", "hostname", "hosts"].map { ("\(folder)/files/\($0)", "/etc/" + $0) },
            joined: [:], cgroupParent: "/skala", defaultPidsLimit: 4096, user: ["uid": 0, "gid": 0], devices: [],
            allocation: .shared, cores: nil, initProgram: nil
        ).json
        // The network is the VM's.
        spec["linux"]["sysctl"] = .null
        return spec
    }
}
