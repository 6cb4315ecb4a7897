import Base

/// A container that does a service's work.
public struct BalancedMember: Sendable, Hashable {
    /// The container's id.
    public let id: String
    /// Its share of new connections beside the others'. With 0 it gets none, and keeps those it has.
    public var weight: Int
    /// Network id → its addresses there, for members that are not containers of this engine; those of a container are
    /// known.
    public var addresses: [String: [IPAddress]]

    /// What a source hash knows it by: who takes another's place takes over its clients with its key, and nobody else's
    /// move. Empty: its address.
    public let key: String

    public init(id: String, weight: Int = 1, addresses: [String: [IPAddress]] = [:], key: String = "") {
        self.id = id
        self.key = key
        self.weight = weight
        self.addresses = addresses
    }

    var json: JSON {
        let lists = addresses.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value.map(\.description))) }
        return [
            "id": JSON(id), "weight": JSON(weight), "addresses": .object(JSONObject(lists)), "key": JSON(key),
        ]
    }

    init(json: JSON) throws(SkalaError) {
        id = json["id"].string ?? ""
        key = json["key"].string ?? ""
        weight = Int(json["weight"].int ?? 0)
        addresses = [:]
        for network in json["addresses"].object?.keys ?? [] {
            for text in json["addresses"][network].strings ?? [] {
                addresses[network, default: []].append(try IPAddress(parsing: text))
            }
        }
    }
}
