import Base
import OCI

/// What the index keeps of an image.
struct ImageRecord: Sendable {
    struct Layer: Sendable {
        /// The blob as it came, compressed or not.
        var digest: String
        var size: Int64
        var mediaType: String
    }

    /// The configuration's digest.
    let id: String
    /// `docker.io/library/nginx:latest`, sorted.
    var tags: [String]
    /// `docker.io/library/nginx@sha256:…`.
    var repoDigests: [String]
    /// Lowest first, as the configuration's diff_ids.
    let layers: [Layer]
    /// Unpacked bytes.
    let size: Int64

    var json: JSON {
        [
            "id": JSON(id), "tags": JSON(tags), "repoDigests": JSON(repoDigests), "size": JSON(size),
            "layers": JSON(
                layers.map { layer -> JSON in
                    ["digest": JSON(layer.digest), "size": JSON(layer.size), "mediaType": JSON(layer.mediaType)]
                }),
        ]
    }

    init(id: String, tags: [String], repoDigests: [String], layers: [Layer], size: Int64) {
        self.id = id
        self.tags = tags
        self.repoDigests = repoDigests
        self.layers = layers
        self.size = size
    }

    /// - Throws: `.invalid` for what is no record.
    init(json: JSON) throws(SkalaError) {
        guard let id = json["id"].string, Digest.isValid(id) else {
            throw SkalaError(.invalid, "an entry of the image index has no id")
        }
        self.init(
            id: id, tags: json["tags"].strings ?? [], repoDigests: json["repoDigests"].strings ?? [],
            layers: (json["layers"].array ?? []).map { layer in
                Layer(
                    digest: layer["digest"].string ?? "", size: layer["size"].int ?? 0,
                    mediaType: layer["mediaType"].string ?? "")
            }, size: json["size"].int ?? 0)
    }
}
