/// A task's place on a node: what `Scheduler` gave it, and takes back when it ends.
public struct Seat: Sendable, Hashable {
    let service: Int32
    let demand: Int32
    let node: Int32
    /// Which of the tenant's VMs on the node, counted from 0; -1: none.
    let machineNumber: Int32

    /// Which of the tenant's VMs on the node, counted from 0; nil when it shares none.
    public var machine: Int? { machineNumber < 0 ? nil : Int(machineNumber) }
}
