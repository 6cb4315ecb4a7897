public import Base

extension ServiceSpec {
    /// Labels of a service, which replace no tasks when they change: they are about where the next ones go.
    public enum Label {
        /// What its tasks live on: a `Resource`.
        public static let profile = "skala.profile"
        /// A `Trust`: for advice.
        public static let trust = "skala.trust"
    }

    /// Nil when it does not say.
    public var profile: Resource? { labels[Label.profile].flatMap(Resource.init) }
    public var trust: Trust? { labels[Label.trust].flatMap(Trust.init) }

    /// - Throws: `.invalid` for a label whose value is no word of it.
    public func checkProfile() throws(SkalaError) {
        try check(Label.profile, Resource.allCases.map(\.rawValue))
        try check(Label.trust, Trust.allCases.map(\.rawValue))
    }

    private func check(_ label: String, _ known: [String]) throws(SkalaError) {
        guard let text = labels[label], !known.contains(text) else { return }
        throw SkalaError(.invalid, "invalid label \(label)=\(text): expected \(known.joined(separator: ", "))")
    }
}
