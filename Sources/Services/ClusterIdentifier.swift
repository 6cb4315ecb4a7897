/// Identifiers of services, tasks, nodes, secrets and configs, as Docker's: 25 lower-case letters and digits.
enum ClusterIdentifier {
    static let length = 25
    private static let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")

    static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return make(using: &random)
    }

    static func make(using random: inout some RandomNumberGenerator) -> String {
        String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
    }
}
