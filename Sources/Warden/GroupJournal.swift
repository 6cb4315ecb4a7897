import Base
import Glibc
import Kernel

/// Control groups below parents that are not the warden's own, and which of those parents were made for them: a file, so that what
/// a killed warden leaves there is found by the next one.
///
/// A parent that was made goes with the last group in it; one that was there stays.
final class GroupJournal {
    private let file: String
    /// The warden's own parent group, which is made and removed without this.
    private let root: String
    private let boot: String
    /// Paths below each hierarchy's root.
    private(set) var groups: Set<String> = []
    /// Directories that were made to hold them.
    private var made: Set<String> = []

    /// Takes up what a predecessor wrote, unless the host has been booted since: then nothing of it is there, and what bears
    /// the same name is somebody else's.
    init(file: String, root: String) throws(KernelError) {
        self.file = file
        self.root = root
        boot = try SmallFile.text("/proc/sys/kernel/random/boot_id").filter { $0 != "\n" }
        // No file is the rule. One that a failing host left half written is of an earlier boot.
        guard let old = try? JSON(parsing: FileContents.read(file)), old["boot"].string == boot else { return }
        groups = Set(old["groups"].strings ?? [])
        made = Set(old["made"].strings ?? [])
    }

    /// A group is about to be made.
    ///
    /// - Parameter mounts: the hierarchies in which it is made.
    func begin(_ path: String, in mounts: Set<String>) throws(KernelError) {
        groups.insert(path)
        for mount in mounts {
            var parent = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
            while !parent.isEmpty, !(root + "/").hasPrefix(parent + "/"), access(mount + parent, F_OK) != 0 {
                made.insert(mount + parent)
                parent = parent[..<(parent.lastIndex(of: "/") ?? parent.startIndex)]
            }
        }
        try save()
    }

    /// A group is gone.
    func end(_ path: String) {
        guard groups.remove(path) != nil else { return }
        removeParents()
    }

    /// Removes the parents that were made and are empty; the lowest ones first.
    func removeParents() {
        for directory in made.sorted(by: { $0.utf8.count > $1.utf8.count })
        where rmdir(directory) == 0 || errno == ENOENT {
            made.remove(directory)
        }
        // What is named although it has gone is looked for once more by the next warden.
        try? save()
    }

    private func save() throws(KernelError) {
        guard !groups.isEmpty || !made.isEmpty else {
            unlink(file)
            return
        }
        let content: JSON = [
            "boot": JSON(boot), "groups": JSON(groups.sorted()), "made": JSON(made.sorted()),
        ]
        try FileContents.replace(file, with: content.bytes, mode: 0o600)
    }
}
