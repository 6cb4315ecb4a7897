/// How much tasks on one host disturb each other, as the scheduler counts with it: a host profile's losses, made ready for look-up.
///
/// A task is the victim of each other task on its node: of one with the same profile as of a competing neighbour, of one with
/// another profile as of an orthogonal one, at the victim's own isolation and allocation. What is left of several losses is
/// multiplied. What is not measured, or not proved, counts as no loss.
public struct Interference: Sendable, Hashable {
    /// What matters of a task: what it lives on, and what shields it.
    struct Work: Sendable, Hashable {
        let resource: Resource
        let number: Int

        /// Nil for tasks that do not say what they live on.
        init?(_ demand: Demand) {
            guard let resource = demand.profile,
                let isolation = Interference.isolations.firstIndex(of: demand.isolation)
            else { return nil }
            self.resource = resource
            // What is best effort has at most what is shared.
            let allocation = demand.isDedicated ? 0 : 1
            number = (resource.number * Interference.isolations.count + isolation) * 2 + allocation
        }

        static var count: Int { Resource.allCases.count * Interference.isolations.count * 2 }
    }

    /// Tasks alike on a node.
    struct Group: Sendable, Hashable {
        let work: Work
        var count: Int32
    }

    static let isolations = ["container", "pod", "microvm", "machine"]

    /// By work and the resource of the other task: what is left of 1.
    private let kept: ContiguousArray<Double>

    public init(_ profile: HostProfile) {
        var kept = ContiguousArray(repeating: 1.0, count: Work.count * Resource.allCases.count)
        for resource in Resource.allCases {
            for (isolationNumber, isolation) in Interference.isolations.enumerated() {
                for (allocationNumber, allocation) in ["dedicated", "shared"].enumerated() {
                    let work =
                        (resource.number * Interference.isolations.count + isolationNumber) * 2 + allocationNumber
                    for other in Resource.allCases {
                        let neighbour: HostProfile.Neighbour = other == resource ? .competing : .orthogonal
                        // To those outside any VM is alike: where pods and machines are not measured, microVMs are.
                        let entry =
                            profile.loss(resource, isolation, allocation, neighbour)
                            ?? (isolation == "container"
                                ? nil : profile.loss(resource, "microvm", allocation, neighbour))
                        kept[work * Resource.allCases.count + other.number] = 1 - (entry?.countedLoss ?? 0)
                    }
                }
            }
        }
        self.kept = kept
    }

    private func kept(_ work: Work, beside other: Resource) -> Double {
        kept[work.number * Resource.allCases.count + other.number]
    }

    /// What a task loses beside others, 0 to 1.
    func loss(of work: Work, beside counts: Counts) -> Double {
        var left = 1.0
        for resource in Resource.allCases {
            left *= Interference.power(kept(work, beside: resource), counts[resource])
        }
        return 1 - left
    }

    /// What one more task adds to the losses of all on a node: its own, and those of the others.
    func addedLoss(of work: Work, to groups: [Group]) -> Double {
        let counts = Counts(groups)
        var sum = loss(of: work, beside: counts)
        for group in groups {
            let more = 1 - kept(group.work, beside: work.resource)
            guard more > 0 else { continue }
            let left = 1 - loss(of: group.work, beside: counts.without(group.work.resource))
            sum += Double(group.count) * left * more
        }
        return sum
    }

    /// The losses of all tasks on a node, summed up.
    func totalLoss(of groups: [Group]) -> Double {
        let counts = Counts(groups)
        return groups.reduce(0) { sum, group in
            sum + Double(group.count) * loss(of: group.work, beside: counts.without(group.work.resource))
        }
    }

    /// Tasks by what they live on.
    struct Counts {
        private var values: (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)

        init(_ groups: [Group]) { for group in groups { self[group.work.resource] += group.count } }

        subscript(resource: Resource) -> Int32 {
            get {
                switch resource {
                case .cpu: values.0
                case .memory: values.1
                case .disk: values.2
                case .network: values.3
                }
            }
            set {
                switch resource {
                case .cpu: values.0 = newValue
                case .memory: values.1 = newValue
                case .disk: values.2 = newValue
                case .network: values.3 = newValue
                }
            }
        }

        /// A task is no neighbour of itself.
        func without(_ resource: Resource) -> Counts {
            var others = self
            others[resource] -= 1
            return others
        }
    }

    /// By squaring: the same on every machine.
    private static func power(_ base: Double, _ exponent: Int32) -> Double {
        if base == 1 { return 1 }
        var (result, square, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}
