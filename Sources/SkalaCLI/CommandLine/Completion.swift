/// What may stand at a place of the command line.
enum Completion: Sendable, Hashable {
    case nothing
    case files
    case directories
    case words([String])
    case containers
    case runningContainers
    case images
    case networks
    case volumes
    /// Of the lab.
    case runs
}
