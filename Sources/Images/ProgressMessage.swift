import Base
import OCI

/// Progress as the docker CLI shows it.
enum ProgressMessage {
    /// `Pushed` and its like, of a blob.
    static func status(_ status: String, of digest: String) -> JSON {
        [
            "status": JSON(status), "progressDetail": [:],
            "id": JSON(Identifier.short(Digest.hexadecimal(digest))),
        ]
    }

    /// `Downloading` or `Pushing`, with the bytes that have come or gone.
    static func transfer(_ status: String, of digest: String, current: Int64, total: Int64) -> JSON {
        let filled = total > 0 ? Int(min(50, current * 50 / total)) : 0
        let bar = String(repeating: "=", count: filled) + ">" + String(repeating: " ", count: 50 - filled)
        let text = "[\(bar.prefix(50))] \(ByteSize.decimal(current))/\(ByteSize.decimal(total))"
        return [
            "status": JSON(status), "progressDetail": ["current": JSON(current), "total": JSON(total)],
            "progress": JSON(text), "id": JSON(Identifier.short(Digest.hexadecimal(digest))),
        ]
    }
}
