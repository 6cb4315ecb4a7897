public import Base

/// What the lab has measured of a host, as far as others use it: what each isolation costs, and how much neighbours disturb.
///
/// A document of at most `maximumEntries` entries, each of which says what it was measured by. docs/lab.md describes its members.
public struct HostProfile: Sendable, Hashable {
    public static let version: Int64 = 1
    public static let maximumEntries = 400

    /// What VMs ran on: `kvm`, or `tcg` for software emulation; nil when there was none.
    public var accelerator: String?
    /// Sorted by what they tell; of the same thing there is one.
    public private(set) var entries: [Entry]

    public init(accelerator: String?, entries: [Entry]) {
        self.accelerator = accelerator
        var byKey: [Entry.Key: Entry] = [:]
        for entry in entries { byKey[entry.key] = entry }
        self.entries = byKey.values.sorted { $0.key.text < $1.key.text }
    }

    /// Whether what VMs do was measured under software emulation.
    public var isEmulated: Bool { accelerator == "tcg" }

    public func entry(_ key: Entry.Key) -> Entry? { entries.first { $0.key == key } }

    /// How much slower work on a resource is than with the base of the measurement, when it has no neighbours.
    public func overhead(_ resource: Resource, _ isolation: String) -> Entry? {
        entry(.init(.overhead, resource, isolation))
    }

    /// How much of what it does alone a victim loses beside a neighbour.
    public func loss(
        _ resource: Resource, _ isolation: String, _ allocation: String, _ neighbour: Neighbour
    ) -> Entry? {
        entry(.init(.loss, resource, isolation, allocation, neighbour))
    }

    /// Bytes an instance takes beyond what a container takes.
    public func memory(_ isolation: String) -> Entry? { entry(.init(.memory, nil, isolation)) }

    /// Milliseconds until an instance does its work.
    public func start(_ isolation: String) -> Entry? { entry(.init(.start, nil, isolation)) }

    /// With what another run found in its place, entry by entry.
    ///
    /// Nothing stays of what was measured with another accelerator: VMs are others then. What a full run measured is not replaced
    /// by a shortened one's, unless forced.
    ///
    /// - Returns: the sum, and how many entries of the new one were left out.
    public func merging(_ new: HostProfile, force: Bool = false) -> (profile: HostProfile, leftOut: Int) {
        guard accelerator == new.accelerator || accelerator == nil || new.accelerator == nil else { return (new, 0) }
        var byKey = Dictionary(entries.map { ($0.key, $0) }) { _, last in last }
        var leftOut = 0
        for entry in new.entries {
            if let old = byKey[entry.key], !old.isShortened, entry.isShortened, !force {
                leftOut += 1
            } else {
                byKey[entry.key] = entry
            }
        }
        return (HostProfile(accelerator: new.accelerator ?? accelerator, entries: Array(byKey.values)), leftOut)
    }
}

extension HostProfile {
    /// What the neighbour of a victim does.
    public enum Neighbour: String, Sendable, Hashable, CaseIterable {
        /// The same kind of work.
        case competing
        /// Work on another resource.
        case orthogonal
        /// Takes all it can get.
        case adversarial
    }

    /// One thing that was measured.
    public struct Entry: Sendable, Hashable {
        public enum Kind: String, Sendable, Hashable, CaseIterable { case overhead, loss, memory, start }

        /// What it tells.
        public struct Key: Sendable, Hashable {
            public var kind: Kind
            /// Of overheads and losses.
            public var resource: Resource?
            /// One of `HostProfile.isolations`.
            public var isolation: String
            /// Of losses; one of `HostProfile.allocations`.
            public var allocation: String?
            public var neighbour: Neighbour?

            public init(
                _ kind: Kind, _ resource: Resource?, _ isolation: String, _ allocation: String? = nil,
                _ neighbour: Neighbour? = nil
            ) {
                self.kind = kind
                self.resource = resource
                self.isolation = isolation
                self.allocation = allocation
                self.neighbour = neighbour
            }

            var text: String {
                [kind.rawValue, resource?.rawValue, isolation, allocation, neighbour?.rawValue].map { $0 ?? "" }
                    .joined(separator: " ")
            }
        }

        public var key: Key
        /// A share of overheads and losses: 0.2 is a fifth less work done, below 0 is more of it. Bytes, or milliseconds. Nil of a
        /// victim that did not finish.
        public var value: Double?
        /// Holds the true value with 95 %; nil where too little was measured for one.
        public var interval: ClosedRange<Double>?
        /// Whether it differs from nothing by more than chance.
        public var isProved: Bool
        /// What it is compared with: the isolation, of overheads.
        public var base: String?
        /// The experiments' cases it comes from.
        public var cases: [String]
        public var run: String
        public var measured: Timestamp
        /// By a run that was shortened, or stopped.
        public var isShortened: Bool

        public init(
            _ key: Key, value: Double?, interval: ClosedRange<Double>? = nil, isProved: Bool = false,
            base: String? = nil,
            cases: [String] = [], run: String, measured: Timestamp, isShortened: Bool
        ) {
            self.key = key
            self.value = value
            self.interval = interval
            self.isProved = isProved
            self.base = base
            self.cases = cases
            self.run = run
            self.measured = measured
            self.isShortened = isShortened
        }

        /// What is counted with: nothing that is not proved, nothing below 0, and all of it for what did not finish.
        public var countedLoss: Double {
            guard let value else { return 1 }
            return isProved ? min(1, max(0, value)) : 0
        }
    }

    public static let isolations = ["process", "container", "pod", "microvm", "machine"]
    public static let allocations = ["dedicated", "shared", "hard", "soft"]
}
