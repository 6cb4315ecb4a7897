/// Names for containers whose user gave none: an adjective and a mountain.
enum RandomName {
    private static let adjectives = [
        "agile", "amber", "bold", "brisk", "calm", "clear", "crisp", "deft", "eager", "fair", "fleet", "gentle", "keen",
        "kind", "lively", "lucid", "mellow", "merry", "noble", "patient", "plucky", "quick", "quiet", "ready", "serene",
        "sharp", "steady", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty",
    ]
    private static let mountains = [
        "aconcagua", "ararat", "belukha", "bernina", "blanc", "cook", "denali", "dom", "eiger", "elbrus", "etna",
        "fuji",
        "kazbek", "kenya", "kita", "lhotse", "logan", "makalu", "matterhorn", "meru", "moench", "olympus", "ortler",
        "rainier", "rigi", "robson", "rosa", "sinai", "snowdon", "teide", "titlis", "toubkal", "triglav", "zugspitze",
    ]

    static func make() -> String {
        let adjective = adjectives[Int.random(in: 0..<adjectives.count)]
        let mountain = mountains[Int.random(in: 0..<mountains.count)]
        return "\(adjective)_\(mountain)_\(Int.random(in: 0..<1000))"
    }
}
