import Base

/// Progress as the docker CLI shows it.
enum ProgressMessage {
    static func downloading(id: JSON, current: Int64, total: Int64) -> JSON {
        let filled = total > 0 ? Int(min(50, current * 50 / total)) : 0
        let bar = String(repeating: "=", count: filled) + ">" + String(repeating: " ", count: 50 - filled)
        let text = "[\(bar.prefix(50))] \(ByteSize.decimal(current))/\(ByteSize.decimal(total))"
        return [
            "status": "Downloading", "progressDetail": ["current": JSON(current), "total": JSON(total)],
            "progress": JSON(text), "id": id,
        ]
    }
}
