public import CLinux

/// One entry of a tar archive, without its data. Names are bytes, as the kernel has them.
public struct TarEntry: Sendable {
    public enum Kind: Sendable {
        case file, hardLink, symbolicLink, characterDevice, blockDevice, folder, pipe
    }

    public var kind: Kind
    public var path: [UInt8]
    /// Of both kinds of links.
    public var target: [UInt8] = []
    /// The permission bits.
    public var mode: UInt32 = 0
    public var user: UInt32 = 0
    public var group: UInt32 = 0
    /// Bytes of data that follow.
    public var size: Int64 = 0
    public var modified = timespec()
    /// Of device files.
    public var device: UInt64 = 0
    /// Extended attributes.
    public var attributes: [(name: [UInt8], value: [UInt8])] = []

    public init(_ kind: Kind, _ path: [UInt8]) {
        self.kind = kind
        self.path = path
    }

    /// For messages.
    var text: String { String(decoding: path, as: UTF8.self) }
}

/// Where entries come from: a tar archive in whatever form.
public protocol TarSource: AnyObject {
    /// The next entry, or nil at the archive's end. Data of the last one that was not read is passed over.
    func nextEntry() throws -> TarEntry?

    /// Calls `body` with each piece of the last entry's data and its place; what lies between pieces is a hole.
    func eachPiece(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws
}
