public import Planning

/// What advice is asked for.
public struct AdviceRequest: Sendable, Hashable {
    public var trust: Trust
    /// What it lives on.
    public var profile: Resource
    /// Starts soon rather than works fast.
    public var startsFast = false
    /// As many as possible rather than each as fast as possible.
    public var isDense = false
    /// The service it is for.
    public var service: Service?

    public struct Service: Sendable, Hashable {
        public var name: String
        public var image: String
        public var isolation: String
        public var allocation: String
        /// Of the cores it may use, the share that it uses; nil when that was not measured.
        public var use: Double?

        public init(name: String, image: String, isolation: String, allocation: String, use: Double? = nil) {
            self.name = name
            self.image = image
            self.isolation = isolation
            self.allocation = allocation
            self.use = use
        }
    }

    public init(
        trust: Trust, profile: Resource, startsFast: Bool = false, isDense: Bool = false, service: Service? = nil
    ) {
        self.trust = trust
        self.profile = profile
        self.startsFast = startsFast
        self.isDense = isDense
        self.service = service
    }
}
