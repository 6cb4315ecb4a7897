import Base
import Kernel
public import Machines

/// Where an engine keeps things, and its defaults. Several engines on one host differ in all of the paths.
public struct EngineConfiguration: Sendable {
    /// Images, volumes, containers' files and the store; survives reboots.
    public var dataRoot = "/var/lib/skala"
    /// Sockets, locks and network namespaces; a tmpfs.
    public var runRoot = "/run/skala"
    /// The static `skala-warden` program.
    public var wardenPath = "/usr/libexec/skala/skala-warden"
    /// The static `skala-init` program, bound into containers that want an init process.
    public var initPath = "/usr/libexec/skala/skala-init"
    /// The static `skala-checkpoint` program, which continues VMs from checkpoints.
    public var checkpointPath = "/usr/libexec/skala/skala-checkpoint"
    /// The cgroup all containers are below.
    public var cgroupParent = "/skala"
    public var bridge = "skala0"
    public var subnet: String?
    /// Processes a container may have when it sets no limit: enough for any service, and too few for a fork bomb to
    /// hurt the host.
    public var defaultPidsLimit: Int64 = 4096
    /// What executes the instructions of VMs; nil probes.
    public var accelerator: Accelerator?
    /// QEMU's program.
    public var machineProgram = "/usr/bin/qemu-system-x86_64"
    /// HAProxy's program.
    public var balancerProgram = "/usr/sbin/haproxy"
    /// VMs of each size that are kept ready, at most.
    public var spareMachines = 2
    /// The memory that all of those may have together, in bytes.
    public var spareMemory = HostFacts.memoryBytes / 8
    /// Whether the template of VMs is made when the daemon starts.
    public var preparesMachines = false
    public var registryMirrors: [String] = []
    public var labels: [String] = []
    public var version = ProductVersion.text

    public init() {}

    var wardenSocket: String { runRoot + "/warden.sock" }
    /// Kernels, templates and root images of VMs, and what running ones need.
    var machineRoot: String { dataRoot + "/machines" }
    var machineRunRoot: String { runRoot + "/vm" }
    var storePath: String { dataRoot + "/skala.db" }
    func podDirectory(_ id: String) -> String { dataRoot + "/pods/" + id }
    func containerDirectory(_ id: String) -> String { dataRoot + "/containers/" + id }
}
