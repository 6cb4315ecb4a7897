/// What a task lives on: the resource it needs most, and whose sharing it feels most.
public enum Resource: String, Sendable, Hashable, CaseIterable {
    case cpu, memory, disk, network

    var number: Int {
        switch self {
        case .cpu: 0
        case .memory: 1
        case .disk: 2
        case .network: 3
        }
    }
}
