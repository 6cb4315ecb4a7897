import Base
import Client
import Glibc
import Kernel

/// Makes disks that boot with an image's files, and gives them to the engine. Each is made once.
struct MachineDiskMaker {
    let client: EngineClient
    /// Where what all disks boot from is kept.
    let folder: String
    let scratch: String
    let isStopped: () -> Bool
    /// A line for people about what is being done.
    let tell: (String) -> Void

    /// The scripts that make them, by the names under which they find each other.
    private static let scripts = [
        ("machine-boot.sh", PackageResources.machine_boot_sh), ("machine-init.sh", PackageResources.machine_init_sh),
        ("boot-disk.sh", PackageResources.boot_disk_sh),
    ]
    private static let programs = [
        ("mmdebstrap", "mmdebstrap"), ("mkfs.ext4", "e2fsprogs"), ("mkfs.fat", "dosfstools"), ("mcopy", "mtools"),
        ("syslinux", "syslinux"), ("sfdisk", "fdisk"), ("qemu-img", "qemu-utils"), ("ssh", "openssh-client"),
        ("ssh-keygen", "openssh-client"),
    ]

    /// What is missing on the host to make disks and to log in; nil when nothing is.
    static var obstacle: String? {
        guard geteuid() == 0 else { return "isolation machine: making a disk of an image needs root" }
        let missing = programs.filter { HostProgram.find($0.0) == nil }
        guard !missing.isEmpty else { return nil }
        let packages = Set(missing.map(\.1)).sorted().joined(separator: " ")
        return "isolation machine: it needs \(missing.map(\.0).joined(separator: ", ")) (packages \(packages))"
    }

    /// The disk with an image's files, as an image of the engine.
    func prepare(_ image: PreparedImage) throws -> PreparedImage {
        let system = try MachineDiskMaker.system(scratch: scratch)
        let boot = "\(folder)/\(system)"
        let reference = MachineDiskMaker.name(image.reference, id: image.id, system: system)
        guard try !client.hasImage(reference) else {
            return try PreparedImage(reference, made: nil, folder: "", client: client)
        }
        tell("making a disk of the image \(image.reference)")
        let started = SystemClock.monotonicNanoseconds()
        let work = "\(scratch)/disk"
        // What is left there goes with the run's folder.
        defer { try? FileContents.removeTree(work) }
        try FileContents.makeDirectories(work + "/root", mode: 0o700)
        // Its owner and its mode become those of the disk's root.
        chmod(work + "/root", 0o755)
        try writeScripts(to: work)
        try makeBootFiles(boot, work)
        try image.copyFiles(to: work + "/root", client)
        try makeDisk(boot, work)
        try importDisk("\(work)/disk.qcow2", as: reference)
        return try PreparedImage(
            reference, made: SystemClock.monotonicNanoseconds() - started, folder: "", client: client)
    }

    /// The image's own name, and which files it has; and which init.
    static func name(_ reference: String, id: String, system: String) -> String {
        let name = reference.split(separator: "@")[0].split(separator: "/").last ?? "image"
        let id = id.split(separator: ":").last ?? ""
        return "\(ImageMaker.repository)\(name.prefix { $0 != ":" })-disk:\(id.prefix(12))-\(system)"
    }

    /// Named by what makes a disk out of an image, so that a change of it makes other disks.
    ///
    /// - Parameter scratch: a folder for a file.
    static func system(scratch: String) throws -> String {
        let all = "\(scratch)/scripts"
        defer { unlink(all) }
        try FileContents.replace(
            all, with: MachineDiskMaker.scripts.flatMap(\.1) + MachineDiskMaker.kernelArguments.utf8)
        return String(try Subprocess.output(["/usr/bin/sha256sum", all], limit: 200).prefix(8))
    }

    private func writeScripts(to work: String) throws {
        for (name, text) in MachineDiskMaker.scripts { try FileContents.replace("\(work)/\(name)", with: text) }
    }

    private func makeBootFiles(_ boot: String, _ work: String) throws {
        guard access(boot, F_OK) != 0 else { return }
        let (sources, made) = ("\(work)/sources.list", boot + ".new")
        try FileContents.replace(sources, with: Array(try DebianMirror.sources(withSources: false).utf8))
        if access(made, F_OK) == 0 { try FileContents.removeTree(made) }
        try FileContents.makeDirectories(made, mode: 0o700)
        try run(["\(work)/machine-boot.sh", made, try DebianMirror.suite(), sources])
        // The folder is there only once it is whole.
        guard rename(made, boot) == 0 else { throw KernelError("rename", boot, errno: errno) }
    }

    private func makeDisk(_ boot: String, _ work: String) throws {
        let used = try Subprocess.output(["/usr/bin/du", "-sm", work + "/root"], limit: 1 << 16)
        guard let size = Int(used.prefix { $0.isNumber }) else { throw SkalaError(.system, "du says: \(used)") }
        try run([
            "\(work)/boot-disk.sh", "\(work)/root", "\(boot)/vmlinuz", "\(boot)/initrd.img",
            MachineDiskMaker.kernelArguments,
            "\(size * 5 / 4 + MachineDiskMaker.room)", "\(work)/disk.qcow2",
        ])
    }

    /// Those of Skala's own VMs that are not about their devices: it is isolations that are compared, not kernels' settings.
    private static let kernelArguments = "quiet mitigations=off tsc=reliable no_timer_check random.trust_cpu=on"
    /// Mebibytes for what is written later: holes until then.
    private static let room = 2048

    private func run(_ script: [String]) throws {
        var said = BoundedText()
        let status = try Subprocess.stream(["/bin/sh"] + script, isCancelled: isStopped) { said.append($0) }
        if isStopped() { throw SkalaError(.cancelled, "stopped") }
        guard status == 0 else {
            throw SkalaError(.system, "the disk of a machine cannot be made: \(said.text.suffix(1500))")
        }
    }

    private func importDisk(_ path: String, as reference: String) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        try client.json(
            HTTPRequest(
                "POST", "/skala/v1/machines/import", query: [("reference", reference)],
                body: .stream(contentType: "application/octet-stream") { try Pipe.read(file.raw, upTo: 1 << 18) }))
    }
}
