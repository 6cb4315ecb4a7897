import Archives
public import Kernel

/// Tar archives as clients send them: of any of tar's formats, and compressed or not. Blocking.
public enum AnyArchive {
    /// Uncompressed bytes a client may send at once.
    private static let limit: Int64 = 1 << 40

    /// Unpacks an archive into a folder of a container; see `ContainerFiles.unpack`.
    public static func unpack(
        from input: Int32, into root: Int32, path: String, replacesDirectories: Bool
    ) throws {
        try ContainerFiles.unpack(
            try ArchiveReader(descriptor: input, limit: limit), into: root, path: path,
            replacesDirectories: replacesDirectories)
    }

    /// Unpacks a layer, in the form overlayfs takes, into an empty folder.
    ///
    /// - Parameter limit: uncompressed bytes beyond which it is refused.
    public static func unpackLayer(from input: Int32, into folder: OwnedDescriptor, limit: Int64) throws {
        var unpacker = LayerUnpacker(folder: folder)
        try unpacker.unpack(try ArchiveReader(descriptor: input, limit: limit))
    }

    /// Writes an archive again in the one form that `TarReader` takes.
    public static func rewrite(from input: Int32, to output: Int32) throws {
        let writer = ArchiveWriter(descriptor: output)
        try writer.add(contentsOf: try ArchiveReader(descriptor: input, limit: limit))
        try writer.finish()
    }
}
