import Base
import YAML

/// Memory that the instances of a group have together, and how each of them is given its part.
struct FenceSpec: Sendable {
    /// How large VMs are.
    enum Guests: String, Sendable, CaseIterable {
        /// As large as was promised.
        case promised
        /// As large as was promised at their start, and made smaller to their share while they run.
        case balloon
    }

    /// Bytes.
    let memory: Int64
    let guests: [Guests]

    /// Nil where there is no fence.
    init?(_ spec: SpecReader) throws(SkalaError) {
        guard let value = spec["fence"] else {
            if let guests = spec["guests"] { throw guests.fault("guests are made smaller within a 'fence' only") }
            return nil
        }
        memory = try value.bytes()
        guard memory >= 64 << 20 else { throw value.fault("a fence has at least 64m of memory") }
        let isolations = try spec.required("isolations")
        for element in isolations.isList ? try isolations.elements() : [isolations]
        where ![LabIsolation.container, .microvm].map(\.rawValue).contains(try element.string()) {
            throw element.fault("only containers and microvms can be in a fence")
        }
        let allocations = try spec.required("allocations")
        for element in allocations.isList ? try allocations.elements() : [allocations]
        where ![LabAllocation.hard, .soft].map(\.rawValue).contains(try element.string()) {
            throw element.fault("in a fence the allocations are hard and soft")
        }
        let guests = try spec["guests"]?.words(Guests.self)
        // A quick run may leave VMs out.
        let all = try SpecReader(spec.root, quick: nil).required("isolations").words(LabIsolation.self)
        if guests != nil, !all.contains(.microvm) {
            throw try spec.required("guests").fault("there is no microvm among the isolations")
        }
        self.guests = guests ?? [.promised]
    }

    /// The ways in which an isolation's instances are given memory, as the factor `allocation` has them.
    func ways(_ isolation: LabIsolation, _ allocations: [LabAllocation]) -> [String] {
        isolation == .microvm ? guests.map(\.rawValue) : allocations.map(\.rawValue)
    }

    /// How an instance is made that was promised `spec.memory` and has a share of the fence.
    func apply(_ way: String, share: Int64, to spec: inout InstanceSpec) {
        // Any processor, by equal weights: it is the memory that is scarce.
        switch way {
        case LabAllocation.hard.rawValue: (spec.allocation, spec.memory) = (.shared, share)
        case LabAllocation.soft.rawValue: (spec.allocation, spec.memory) = (.soft, share)
        default: spec.allocation = .shared
        }
    }
}
