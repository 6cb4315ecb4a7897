import Base
import Client
import Glibc
import Kernel

/// An image of an experiment that the engine has.
final class PreparedImage {
    let reference: String
    let id: String
    /// Bytes in the engine.
    let size: Int64
    /// What it says of its program: `Config`.
    let configuration: JSON
    /// Nanoseconds it took to make or pull it; nil when it was there.
    let made: Int64?
    /// That of a machine's disk with the same files, where one is needed.
    var disk: PreparedImage?
    private let folder: String

    /// - Parameter folder: where the files of images are kept for processes of the host.
    init(_ reference: String, made: Int64?, folder: String, client: EngineClient) throws {
        self.reference = reference
        self.made = made
        self.folder = folder
        let document = try client.json(.get("/images/\(PercentEncoding.encode(reference, keeping: "/:@"))/json"))
        guard let id = document["Id"].string else {
            throw SkalaError(.invalid, "the engine told no id of \(reference)")
        }
        self.id = id
        size = document["Size"].int ?? 0
        configuration = document["Config"]
    }

    /// Behind the name of a folder that is whole.
    static let mark = ".complete"

    /// The name of the folder with the files of an image.
    static func folderName(_ id: String) -> String {
        String((id.split(separator: ":").last ?? id[...]).prefix(16))
    }

    /// Its files in a folder of the host, for programs that run without isolation. Made at the first call, and kept.
    func root(_ client: EngineClient) throws -> String {
        let path = "\(folder)/\(PreparedImage.folderName(id))"
        let mark = path + PreparedImage.mark
        if access(mark, F_OK) == 0 { return path }
        if access(path, F_OK) == 0 { try FileContents.removeTree(path) }
        // Programs that change their user are in it: nobody but root comes this way.
        try FileContents.makeDirectories(folder, mode: 0o700)
        try FileContents.makeDirectories(path)
        try copyFiles(to: path, client)
        try FileContents.replace(mark, with: [])
        return path
    }

    /// Writes its files into an empty folder.
    func copyFiles(to path: String, _ client: EngineClient) throws {
        // With the lab's label, so that it is found when the engine dies meanwhile.
        let created = try client.json(
            .post(
                "/containers/create",
                ["Image": JSON(reference), "Cmd": ["/bin/true"], "Labels": [ContainerInstance.label: "image"]]))
        guard let container = created["Id"].string else { throw SkalaError(.invalid, "the engine named no container") }
        defer {
            // It holds nothing of value, and is of no use.
            _ = try? client.json(.delete("/containers/\(container)"))
        }
        try unpack(try client.send(.get("/containers/\(container)/export")), to: path)
    }

    private func unpack(_ archive: HTTPResponse, to path: String) throws {
        let (reading, writing) = try Pipe.make()
        let tar = try Subprocess.spawn(["/bin/tar", "-x", "--numeric-owner", "-p", "-C", path], input: reading.raw)
        reading.close()
        var failure: (any Error)?
        do {
            while true {
                let piece = try archive.next()
                if piece.isEmpty { break }
                try FileContents.append(piece, to: writing.raw, "tar")
            }
        } catch { failure = error }
        writing.close()
        let status = try Subprocess.wait(tar)
        if let failure { throw failure }
        guard status == 0 else { throw SkalaError(.system, "tar failed for \(reference) (status \(status))") }
    }
}
