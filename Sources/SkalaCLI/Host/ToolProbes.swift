import Base
import CLinux
import Client
import Glibc
import Kernel

/// Programs, devices and the engine itself.
enum ToolProbes {
    static func all(_ client: EngineClient) -> [Probe] {
        [
            ("/dev/kvm", kvm), ("QEMU", qemu), ("/dev/net/tun", tun), ("buildah", buildah), ("HAProxy", haproxy),
            ("tar, ps", programs),
            ("group skala", group), ("engine", { engine(client) }),
        ]
    }

    static func find(_ program: String) -> String? {
        Subprocess.find(program, path: (Environment.value("PATH") ?? "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// KVM_GET_API_VERSION and KVM_CREATE_VM of linux/kvm.h.
    private static let kvmVersion: UInt = 0xAE00
    private static let kvmCreate: UInt = 0xAE01

    private static func kvm() -> Finding {
        let cost = "virtual machines run on software emulation, 5 to 10 times slower"
        guard let device = try? OwnedDescriptor.open("/dev/kvm", O_RDWR) else {
            // Why it cannot be opened makes no difference: there is no KVM for us.
            return .limited(
                "it cannot be opened", costs: cost,
                mend: "enable virtualization in the firmware, load kvm_intel or kvm_amd, or allow nested VMs")
        }
        let version = cl_ioctl(device.raw, kvmVersion, nil)
        let machine = cl_ioctl(device.raw, kvmCreate, nil)
        guard version == 12, machine >= 0 else {
            return .limited("it makes no virtual machine", costs: cost, mend: "check the hypervisor below this host")
        }
        close(machine)
        return .ok("a virtual machine can be made; whether guests boot on it is tried at the first start")
    }

    private static func qemu() throws -> Finding {
        let name = "qemu-system-" + HostFacts.architecture
        guard let path = find(name) else {
            return .limited(
                "\(name) is missing", costs: "no isolation by virtual machines",
                mend: "apt-get install --no-install-recommends qemu-system-x86")
        }
        let version = try Subprocess.output([path, "--version"], limit: 4096)
        return .ok(String(version.prefix { $0 != "\n" && $0 != "(" }))
    }

    private static func tun() -> Finding {
        (try? OwnedDescriptor.open("/dev/net/tun", O_RDWR)) != nil
            // Why it cannot be opened makes no difference.
            ? .ok("can be opened")
            : .limited("it cannot be opened", costs: "virtual machines have no network", mend: "load the module 'tun'")
    }

    private static func buildah() throws -> Finding {
        guard let path = find("buildah") else {
            return .limited(
                "it is missing", costs: "'skala build' and 'docker build' are refused",
                mend: "apt-get install --no-install-recommends buildah")
        }
        return .ok(String(try Subprocess.output([path, "--version"], limit: 4096).prefix { $0 != "\n" }))
    }

    private static func haproxy() throws -> Finding {
        guard let path = find("haproxy") else {
            return .limited(
                "it is missing", costs: "services with labels skala.http.* are refused",
                mend: "apt-get install --no-install-recommends haproxy")
        }
        return .ok(String(try Subprocess.output([path, "-v"], limit: 4096).prefix { $0 != "\n" && $0 != "-" }))
    }

    private static func programs() -> Finding {
        let lacking = ["tar", "ps"].filter { find($0) == nil }
        return lacking.isEmpty
            ? .ok("installed")
            : .limited(
                "\(lacking.joined(separator: ", ")) missing", costs: "'skala cp' (tar) or 'skala top NAME' (ps) fail",
                mend: "apt-get install tar procps")
    }

    private static func group() throws -> Finding {
        // Static programs cannot ask the name service; the engine's group is a local one.
        let lines = try SmallFile.text("/etc/group").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("skala:") }) else {
            return .limited(
                "there is none", costs: "only root can use the engine's socket", mend: "groupadd --system skala")
        }
        let members = line.split(separator: ":", omittingEmptySubsequences: false).last ?? ""
        return .ok(members.isEmpty ? "without members" : "members: \(members)")
    }

    private static func engine(_ client: EngineClient) -> Finding {
        do {
            let version = try client.json(.get("/version"))
            return .ok(
                "\(version["Platform"]["Name"].plain) \(version["Version"].plain) answers at \(client.address.text)")
        } catch {
            return .limited(
                "it does not answer at \(client.address.text)", costs: "nothing runs now",
                mend: "systemctl start skala, or 'skala daemon' as root")
        }
    }
}
