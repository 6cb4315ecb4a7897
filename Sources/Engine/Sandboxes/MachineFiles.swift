import Base
import Glibc
import Kernel

/// Where one VM has its files on the host.
struct MachineFiles: Sendable {
    let id: String
    private let runRoot: String
    private let dataRoot: String

    init(id: String, configuration: EngineConfiguration) {
        self.id = id
        runRoot = configuration.machineRunRoot
        dataRoot = configuration.machineRoot + "/running"
    }

    /// The empty folder that is the root of QEMU, and of the programs beside it.
    var root: String { runRoot + "/root" }
    /// The sockets.
    var folder: String { runRoot + "/" + id.prefix(12) }
    /// Its writable disk, until a container takes it.
    var disk: String { "\(dataRoot)/\(id.prefix(12)).img" }
    /// What QEMU and the guest's kernel say.
    var console: String { "\(dataRoot)/\(id.prefix(12)).log" }

    /// Only while a log is being connected.
    var logPipe: String { "\(dataRoot)/\(id.prefix(12)).pipe" }

    func make() throws {
        try MachineSpec.makeRoot(root)
        try FileContents.makeDirectories(dataRoot, mode: 0o711)
        try FileContents.makeDirectories(folder, mode: 0o700)
        try checkErrno(chown(folder, MachineSpec.user(of: id), MachineSpec.user(of: id)), "chown", folder)
    }

    /// Removes what is there; what stays is removed when the daemon starts next.
    func remove() {
        try? FileContents.removeTree(folder)
        for path in [disk, console, console + ".1"] { unlink(path) }
    }

    /// Removes the files of all VMs but those.
    static func removeAll(except known: Set<String>, _ configuration: EngineConfiguration) throws {
        let kept = Set(known.map { String($0.prefix(12)) })
        let one = MachineFiles(id: "", configuration: configuration)
        for folder in [one.runRoot, one.dataRoot] where access(folder, F_OK) == 0 {
            for name in try FileContents.names(in: folder)
            where name != "root" && !kept.contains(String(name.prefix { $0 != "." })) {
                try FileContents.removeTree(folder + "/" + name)
            }
        }
    }
}
