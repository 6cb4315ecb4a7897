import CLinux
import Glibc
import OCI

/// The options of a mount as mount(8) writes them, sorted into what the kernel's calls take.
struct MountOptions {
    var set: UInt64 = 0
    var clear: UInt64 = 0
    var recursiveSet: UInt64 = 0
    var recursiveClear: UInt64 = 0
    var bind = false
    var recursiveBind = false
    var propagation: UInt64 = 0
    var data: [String] = []
    /// The mount maps ids: itself, or with everything below it.
    var idMap: IDMap?
    /// The maps an `idmap=` option names.
    var idMapping: (uids: [RuntimeIDMapping], gids: [RuntimeIDMapping])?
    /// A tmpfs begins with what its mount point holds.
    var copiesUp = false

    enum IDMap { case single, recursive }

    private static let readonly: UInt64 = 0x1
    private static let attributes: [String: (set: UInt64, clear: UInt64)] = [
        "ro": (readonly, 0), "rw": (0, readonly), "nosuid": (2, 0), "suid": (0, 2), "nodev": (4, 0), "dev": (0, 4),
        "noexec": (8, 0), "exec": (0, 8), "noatime": (0x10, 0), "strictatime": (0x20, 0), "relatime": (0, 0x70),
        "atime": (0, 0x70), "nodiratime": (0x80, 0), "diratime": (0, 0x80), "nosymfollow": (0x20_0000, 0),
        "symfollow": (0, 0x20_0000),
    ]
    private static let propagations: [String: UInt64] = [
        "private": 1 << 18, "rprivate": 1 << 18 | 1 << 14, "slave": 1 << 19, "rslave": 1 << 19 | 1 << 14,
        "shared": 1 << 20, "rshared": 1 << 20 | 1 << 14, "unbindable": 1 << 17, "runbindable": 1 << 17 | 1 << 14,
    ]
    /// Options of mount(8) that ask the kernel for nothing.
    private static let ignored: Set = [
        "defaults", "async", "nofail", "auto", "noauto", "user", "nouser", "_netdev", "norelatime", "nostrictatime",
        "z", "Z", "consistent", "cached", "delegated", "notmpcopyup",
    ]

    /// All that are known; others go to the file system.
    static var names: [String] {
        let known = attributes.keys.flatMap { [$0, "r" + $0] } + propagations.keys + ignored
        return (known + ["bind", "rbind", "idmap", "ridmap", "tmpcopyup"]).sorted()
    }

    init(_ options: [String]) {
        for option in options { add(option) }
    }

    private mutating func add(_ option: String) {
        if let attribute = MountOptions.attributes[option] {
            set = set & ~attribute.clear | attribute.set
            clear = clear & ~attribute.set | attribute.clear
        } else if option.hasPrefix("r"), let attribute = MountOptions.attributes[String(option.dropFirst())] {
            recursiveSet |= attribute.set
            recursiveClear |= attribute.clear
        } else if let propagation = MountOptions.propagations[option] {
            self.propagation = propagation
        } else if option == "bind" || option == "rbind" {
            bind = true
            recursiveBind = option == "rbind"
        } else if option == "tmpcopyup" {
            copiesUp = true
        } else if option == "idmap" || option == "ridmap" {
            idMap = option == "ridmap" ? .recursive : .single
        } else if option.hasPrefix("idmap="), let mapping = MountOptions.idMapping(option.dropFirst(6)) {
            idMap = .single
            idMapping = mapping
        } else if !option.isEmpty, !MountOptions.ignored.contains(option) {
            data.append(option)
        }
    }

    /// `uids=CONTAINER-HOST-SIZE#…;gids=…`, as crun writes it.
    private static func idMapping(_ text: Substring) -> (uids: [RuntimeIDMapping], gids: [RuntimeIDMapping])? {
        var maps: [Substring: [RuntimeIDMapping]] = [:]
        for part in text.split(separator: ";") {
            guard let equals = part.firstIndex(of: "=") else { return nil }
            for range in part[part.index(after: equals)...].split(separator: "#") {
                let numbers = range.split(separator: "-").compactMap { UInt32($0) }
                guard numbers.count == 3, numbers[2] > 0 else { return nil }
                maps[part[..<equals], default: []].append(
                    RuntimeIDMapping(container: numbers[0], host: numbers[1], size: numbers[2]))
            }
        }
        guard let uids = maps["uids"], let gids = maps["gids"], maps.count == 2 else { return nil }
        return (uids, gids)
    }

    /// Flags of mount(2) for a propagation name of `linux.rootfsPropagation`.
    static func propagation(_ name: String) -> UInt64? { propagations[name] }
}
