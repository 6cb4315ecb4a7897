import Base
import DockerAPI
import Engine
import Glibc
import Kernel
import Machines

/// The daemon's command line.
struct DaemonOptions {
    var configuration = EngineConfiguration()
    var addresses: [ListenAddress] = []
    /// Where `/metrics` alone is answered, without TLS.
    var metricsAddress: (host: String, port: Int)?
    var logLevel = Log.Level.info
    var logFormat = Log.Format.text

    static let help = """
        Usage: skala daemon [OPTIONS]

        Runs the engine: containers behind the Docker Engine API.

        Options:
          --socket PATH       API socket (default /run/skala/skala.sock)
          --host ADDRESS      unix:///path or tcp://address:port (TCP needs the three TLS options); may be repeated
          --group NAME        group that may use the socket (default skala, if it exists)
          --tls-cert FILE     server certificate for TCP
          --tls-key FILE      its key
          --tls-ca FILE       authority whose certificates clients must show
          --data-root DIR     images, volumes and containers (default /var/lib/skala)
          --run-root DIR      sockets and network namespaces (default /run/skala)
          --warden FILE       skala-warden program (default: beside this program); the others are beside it
          --cgroup-parent G   cgroup of all containers (default /skala)
          --bridge NAME       bridge of the default network (default skala0)
          --subnet CIDR       its addresses (default 172.17.0.0/16, or the next of Docker's pools
                              that is free on this host)
          --accelerator A     what runs the instructions of VMs: auto, kvm or tcg (default auto: kvm where a guest boots
                              on it, software emulation otherwise)
          --spare-vms N       VMs of each size that are kept ready while VMs are being started (default 2; 0: none)
          --prepare-vms       make the template of VMs at once, not when the first one starts
          --qemu FILE         QEMU's program (default /usr/bin/qemu-system-x86_64)
          --haproxy FILE      HAProxy's program (default /usr/sbin/haproxy)
          --registry-mirror U mirror of Docker Hub; may be repeated
          --label KEY=VALUE   label of this engine; may be repeated
          --metrics-address A ADDRESS:PORT where /metrics is answered to everybody, such as 127.0.0.1:9323
          --log-format F      text or json: one line a message, with its fields (default text)
          --log-level L       debug, info, warning or error (default info)
          --debug             the same as --log-level debug

        Examples:
          skala daemon
          skala daemon --socket /tmp/s/api.sock --data-root /tmp/s/data --run-root /tmp/s/run --bridge skala1
          docker -H unix:///run/skala/skala.sock run --rm busybox echo hello

        """

    /// - Returns: nil when help was asked for and shown.
    /// - Throws: `.invalid` naming the option.
    static func parse(_ arguments: [String]) throws(SkalaError) -> DaemonOptions? {
        var options = DaemonOptions()
        options.configuration.wardenPath = programFolder() + "/skala-warden"
        options.configuration.initPath = programFolder() + "/skala-init"
        options.configuration.checkpointPath = programFolder() + "/skala-checkpoint"
        var socket: String?
        var hosts: [String] = []
        var group: String?
        var tls: [String: String] = [:]
        var cgroup: String?
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            func value() throws(SkalaError) -> String {
                guard let value = parts.count == 2 ? parts[1] : rest.popFirst() else {
                    throw SkalaError(.invalid, "\(argument) needs a value; see --help")
                }
                return value
            }
            switch parts[0] {
            case "--help", "-h":
                StandardStreams.output(help)
                return nil
            case "--debug", "-D": options.logLevel = .debug
            case "--log-level": options.logLevel = try choice(value(), Log.Level.allCases, "log level")
            case "--log-format": options.logFormat = try choice(value(), Log.Format.allCases, "log format")
            case "--metrics-address": options.metricsAddress = try hostAndPort(value())
            case "--socket": socket = try value()
            case "--host", "-H": hosts.append(try value())
            case "--group", "-G": group = try value()
            case "--tls-cert", "--tls-key", "--tls-ca": tls[parts[0]] = try value()
            case "--data-root": options.configuration.dataRoot = try absolute(value())
            case "--run-root": options.configuration.runRoot = try absolute(value())
            case "--warden":
                options.configuration.wardenPath = try absolute(value())
                // They come together; beside the daemon there need be neither.
                let folder = folder(of: options.configuration.wardenPath)
                options.configuration.initPath = folder + "/skala-init"
                options.configuration.checkpointPath = folder + "/skala-checkpoint"
            case "--cgroup-parent": cgroup = try value()
            case "--bridge": options.configuration.bridge = try value()
            case "--subnet": options.configuration.subnet = try value()
            case "--accelerator": options.configuration.accelerator = try accelerator(value())
            case "--spare-vms": options.configuration.spareMachines = try count(value())
            case "--prepare-vms": options.configuration.preparesMachines = true
            case "--qemu": options.configuration.machineProgram = try absolute(value())
            case "--haproxy": options.configuration.balancerProgram = try absolute(value())
            case "--registry-mirror": options.configuration.registryMirrors.append(try value())
            case "--label": options.configuration.labels.append(try value())
            default: throw SkalaError(.invalid, "unknown option \(argument); see --help")
            }
        }
        // An engine beside another one must not clear the other's cgroups: each run folder has its own.
        let isStandard = options.configuration.runRoot == "/run/skala"
        let own = "/skala-" + options.configuration.runRoot.split(separator: "/").joined(separator: "-")
        options.configuration.cgroupParent = cgroup ?? (isStandard ? "/skala" : own)
        if hosts.isEmpty || socket != nil {
            hosts.insert("unix://" + (socket ?? options.configuration.runRoot + "/skala.sock"), at: 0)
        }
        for host in hosts { options.addresses.append(try address(host, group: group, tls: tls)) }
        return options
    }

    private static func count(_ text: String) throws(SkalaError) -> Int {
        guard let number = Int(text), (0...64).contains(number) else {
            throw SkalaError(.invalid, "'\(text)' is not a number from 0 to 64")
        }
        return number
    }

    private static func choice<Value: RawRepresentable<String>>(
        _ text: String, _ all: [Value], _ what: String
    ) throws(SkalaError) -> Value {
        guard let value = Value(rawValue: text) else {
            throw SkalaError(.invalid, "unknown \(what) '\(text)': \(all.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    /// `127.0.0.1:9323`, `[::1]:9323`.
    private static func hostAndPort(_ text: String) throws(SkalaError) -> (host: String, port: Int) {
        guard let colon = text.lastIndex(of: ":"), colon != text.startIndex,
            let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port)
        else { throw SkalaError(.invalid, "invalid address '\(text)': expected ADDRESS:PORT") }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return (host, port)
    }

    private static func accelerator(_ text: String) throws(SkalaError) -> Accelerator? {
        if text == "auto" { return nil }
        guard let accelerator = Accelerator(rawValue: text) else {
            throw SkalaError(.invalid, "unknown accelerator '\(text)': auto, kvm or tcg")
        }
        return accelerator
    }

    private static func absolute(_ path: String) throws(SkalaError) -> String {
        guard path.hasPrefix("/") else { throw SkalaError(.invalid, "path '\(path)' is not absolute") }
        return path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    private static func programFolder() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            $0.withMemoryRebound(to: CChar.self) { chars in
                chars.baseAddress.map { readlink("/proc/self/exe", $0, chars.count) } ?? -1
            }
        }
        return folder(of: String(decoding: buffer.prefix(max(0, count)), as: UTF8.self))
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "/usr/libexec/skala"
    }

    private static func address(
        _ text: String, group: String?, tls: [String: String]
    ) throws(SkalaError) -> ListenAddress {
        if text.hasPrefix("unix://") {
            let hasGroup = group != nil || getgrnam("skala") != nil
            return .unix(path: try absolute(String(text.dropFirst(7))), group: hasGroup ? group ?? "skala" : nil)
        }
        guard text.hasPrefix("tcp://"), let (host, port) = try? hostAndPort(String(text.dropFirst(6))) else {
            throw SkalaError(.invalid, "invalid host '\(text)': expected unix:///path or tcp://address:port")
        }
        guard let certificate = tls["--tls-cert"], let key = tls["--tls-key"], let authority = tls["--tls-ca"] else {
            return .tcp(host: host, port: port, tls: nil)
        }
        return .tcp(host: host, port: port, tls: TLSFiles(certificate: certificate, key: key, authority: authority))
    }
}

extension ListenAddress {
    /// As the user writes it.
    var text: String {
        switch self {
        case .unix(let path, _): "unix://\(path)"
        case .tcp(let host, let port, _): "tcp://\(host):\(port)"
        }
    }
}
