public import Base
import Kernel

/// A secret or a config: bytes with a name, which services put into their tasks.
public struct SwarmFile: Sendable {
    public enum Kind: String, Sendable {
        case secret, config

        /// Docker's limits.
        var maximumBytes: Int { self == .secret ? 500 << 10 : 1000 << 10 }
    }

    static let maximumNameLength = 64

    public let kind: Kind
    public let id: String
    var version: DocumentVersion
    public let name: String
    public internal(set) var labels: [String: String]
    /// In the clear for configs, sealed by `SecretVault` for secrets.
    let contents: [UInt8]

    init(kind: Kind, id: String, name: String, labels: [String: String], contents: [UInt8], counter: VersionCounter) {
        self.kind = kind
        self.id = id
        version = DocumentVersion(counter)
        self.name = name
        self.labels = labels
        self.contents = contents
    }

    init(kind: Kind, json: JSON) throws(SkalaError) {
        self.kind = kind
        id = json["ID"].string ?? ""
        version = try DocumentVersion(json: json)
        name = json["Spec"]["Name"].string ?? ""
        labels = json["Spec"]["Labels"].stringDictionary ?? [:]
        guard let bytes = Base64.decode(json["Contents"].string ?? "") else {
            throw SkalaError(.invalid, "\(kind.rawValue) \(name) in the store has no contents")
        }
        contents = bytes
    }

    var json: JSON {
        var json = version.fields(id)
        json["Spec"] = ["Name": JSON(name), "Labels": JSON(labels)]
        json["Contents"] = JSON(Base64.encode(contents))
        return json
    }

    /// As the API shows it: a secret without what it hides.
    public var document: JSON {
        var document = json
        document["Contents"] = .null
        var fields = document.object ?? JSONObject()
        fields["Contents"] = nil
        document = .object(fields)
        if kind == .config { document["Spec"]["Data"] = JSON(Base64.encode(contents)) }
        return document
    }

    /// - Throws: `.invalid` naming what is wrong.
    static func check(name: String, _ kind: Kind) throws(SkalaError) {
        func isWord(_ character: Character?) -> Bool {
            character.map { $0.isASCII && ($0.isLetter || $0.isNumber) } ?? false
        }
        guard isWord(name.first), isWord(name.last), name.utf8.count <= maximumNameLength,
            name.allSatisfy({ isWord($0) || "-_.".contains($0) })
        else {
            throw SkalaError(
                .invalid,
                "invalid \(kind.rawValue) name '\(name)': only \(maximumNameLength) [a-zA-Z0-9-_.] are allowed, and it "
                    + "begins and ends with a letter or digit")
        }
    }
}
