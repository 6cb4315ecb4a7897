import Base
import Client
import Glibc
import Kernel

/// Paths and requests that several commands share.
enum API {
    static func container(_ name: String, _ rest: String = "") -> String {
        "/containers/\(PercentEncoding.encode(name))\(rest)"
    }

    /// An image's name keeps its slashes and colons, as the API has them in its paths.
    static func image(_ name: String, _ rest: String = "") -> String {
        "/images/\(PercentEncoding.encode(name, keeping: "/:@"))\(rest)"
    }

    /// The API's `filters` from `--filter KEY=VALUE`.
    static func filters(_ texts: [String]) throws(SkalaError) -> [(name: String, value: String)] {
        guard !texts.isEmpty else { return [] }
        var filters: JSON = [:]
        for text in texts {
            guard text.contains("=") else {
                throw SkalaError(.invalid, "invalid filter '\(text)': expected KEY=VALUE")
            }
            let (key, value) = KeyValue.split(text)
            filters[key] = JSON((filters[key].array ?? []) + [JSON(value)])
        }
        return [("filters", filters.text)]
    }

    /// The working directory.
    static func workingDirectory() throws(KernelError) -> String {
        guard let path = getcwd(nil, 0) else { throw KernelError("getcwd", "", errno: errno) }
        defer { free(path) }
        return String(cString: path)
    }
}
