import Base
import Kernel
import YAML

/// Where an image of an experiment comes from.
public struct ImageRecipe: Sendable {
    public enum Source: Sendable, Hashable {
        /// A reference: taken as the engine has it, or pulled.
        case reference(String)
        /// Made of Debian packages, as `image.yaml` in the folder says.
        case folder(String, DebianRecipe)
    }

    /// By which the experiment's file calls it.
    public let name: String
    public let source: Source

    /// What `image.yaml` says.
    public struct DebianRecipe: Sendable, Hashable {
        let packages: [String]
        /// Source packages, unpacked in /usr/src.
        let sources: [String]
        /// Run in the image when its packages are there, with the recipe's folder at /recipe.
        let script: String?
    }

    static func read(_ value: YAMLValue?, folder: String) throws(SkalaError) -> [ImageRecipe] {
        var recipes: [ImageRecipe] = []
        for (name, value) in try value?.entries() ?? [] {
            recipes.append(ImageRecipe(name: name, source: try source(value, folder)))
        }
        return recipes
    }

    /// A reference, or the path of a recipe's folder: one that begins with `/`, `./` or `../`.
    private static func source(_ value: YAMLValue, _ folder: String) throws(SkalaError) -> Source {
        let text = try value.string()
        guard ["/", "./", "../"].contains(where: text.hasPrefix) else { return .reference(text) }
        let path = text.hasPrefix("/") ? text : folder + "/" + text
        let file = path + "/image.yaml"
        let contents: [UInt8]
        do { contents = try FileContents.read(file, limit: 1 << 20) } catch {
            throw value.fault("no recipe of an image: \(file): \(error.reason)")
        }
        guard let root = try YAMLParser.parse(contents, name: file).map({ YAMLValue($0) }) else {
            throw SkalaError(.invalid, "\(file): empty")
        }
        try root.allowOnly(["packages", "sources", "script"])
        let packages = try SpecReader(root, quick: nil).required("packages")
        let recipe = DebianRecipe(
            packages: try names(packages), sources: try root["sources"].map(names) ?? [],
            script: try root["script"]?.string())
        return .folder(path, recipe)
    }

    private static func names(_ value: YAMLValue) throws(SkalaError) -> [String] {
        let names = try value.strings()
        for name in names where name.hasPrefix("-") || name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2C }) {
            throw value.fault("'\(name)' is no name of a package")
        }
        return names
    }
}
