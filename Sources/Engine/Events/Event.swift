public import Base

/// Something that happened to a container, image, network or volume, as `docker events` shows it.
public struct Event: Sendable {
    /// `container`, `image`, `network`, `volume`, `daemon`; and Skala's own `template`, of VMs.
    public let type: String
    /// `create`, `start`, `die`, … with details after a colon for execs (`exec_start: ls`).
    public let action: String
    /// The id (containers, networks), name (images, volumes) or shape (templates) it happened to.
    public let actor: String
    public let attributes: [String: String]
    public let time: Timestamp

    public init(type: String, action: String, actor: String, attributes: [String: String], time: Timestamp) {
        self.type = type
        self.action = action
        self.actor = actor
        self.attributes = attributes
        self.time = time
    }

    /// The message of `GET /events`.
    public var json: JSON {
        var message: JSON = [:]
        if type == "container" || type == "image" {
            message["status"] = JSON(action)
            message["id"] = JSON(actor)
            if type == "container" { message["from"] = JSON(attributes["image"] ?? "") }
        }
        message["Type"] = JSON(type)
        message["Action"] = JSON(action)
        message["Actor"] = ["ID": JSON(actor), "Attributes": JSON(attributes)]
        message["scope"] = "local"
        message["time"] = JSON(time.seconds)
        message["timeNano"] = JSON(time.nanoseconds)
        return message
    }
}
