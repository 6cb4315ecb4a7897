/// Writes an initramfs: a cpio archive in the "newc" format (linux/Documentation/driver-api/early-userspace/buffer-format).
struct CPIOArchive {
    private(set) var bytes: [UInt8] = []
    private var inode: UInt32 = 0

    mutating func addDirectory(_ path: String) { add(path, mode: 0o040755, [], device: (0, 0)) }

    mutating func addFile(_ path: String, _ content: [UInt8], isExecutable: Bool = false) {
        add(path, mode: isExecutable ? 0o100755 : 0o100644, content, device: (0, 0))
    }

    mutating func addCharacterDevice(_ path: String, major: UInt32, minor: UInt32) {
        add(path, mode: 0o020600, [], device: (major, minor))
    }

    /// Ends the archive; nothing can be added after that.
    mutating func finish() { add("TRAILER!!!", mode: 0, [], device: (0, 0)) }

    private mutating func add(_ path: String, mode: UInt32, _ content: [UInt8], device: (UInt32, UInt32)) {
        inode += 1
        // Magic, then 13 fields of eight digits: inode, mode, owner, group, links, time, size, device of the file,
        // device it stands for, length of the name with its zero, checksum.
        let fields: [UInt32] = [
            inode, mode, 0, 0, 1, 0, UInt32(content.count), 0, 0, device.0, device.1, UInt32(path.utf8.count + 1), 0,
        ]
        bytes += "070701".utf8
        for field in fields {
            let digits = String(field, radix: 16, uppercase: true)
            bytes += String(repeating: "0", count: 8 - digits.count).utf8
            bytes += digits.utf8
        }
        bytes += path.utf8
        bytes.append(0)
        pad()
        bytes += content
        pad()
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }
}
