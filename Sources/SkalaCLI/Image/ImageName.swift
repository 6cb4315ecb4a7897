/// A name of an image as users type it, taken apart as far as the API's queries need it.
struct ImageName: Hashable {
    /// The name without tag and digest: `localhost:5000/web`.
    let repository: String
    /// The tag, or the digest with its algorithm; nil when none is given.
    let tag: String?

    init(_ text: String) {
        if let at = text.firstIndex(of: "@") {
            repository = String(text[..<at])
            tag = String(text[text.index(after: at)...])
            return
        }
        let name = text.lastIndex(of: "/").map { text[$0...] } ?? text[...]
        guard let colon = name.lastIndex(of: ":") else {
            repository = text
            tag = nil
            return
        }
        repository = String(text[..<colon])
        tag = String(text[text.index(after: colon)...])
    }

    /// The registry's host, as Docker decides it: the first part is one when it has a dot or a colon, or is `localhost`.
    var registry: String {
        guard let slash = repository.firstIndex(of: "/") else { return ImageName.hub }
        let first = repository[..<slash]
        return first == "localhost" || first.contains(".") || first.contains(":") ? String(first) : ImageName.hub
    }

    static let hub = "docker.io"
}
