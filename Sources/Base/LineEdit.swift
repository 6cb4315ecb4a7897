/// Lines that are taken out of a text and put in at its end; what others wrote there stays.
public struct LineEdit: Sendable {
    private let removed: [String]
    private let added: String

    /// - Parameters:
    ///   - removed: what the lines that go begin with.
    ///   - added: whole lines.
    public init(removed: [String], added: String) {
        self.removed = removed
        self.added = added
    }

    public func applied(to text: String) -> String {
        let kept = text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            !removed.contains { line.hasPrefix($0) }
        }
        var result = kept.joined(separator: "\n")
        if !added.isEmpty, !result.isEmpty, !result.hasSuffix("\n") { result += "\n" }
        return result + added
    }
}
