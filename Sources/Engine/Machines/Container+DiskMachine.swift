public import Base
import CLinux
import Glibc
import Images
import Kernel
import Machines
import Networks

/// A VM that boots from its own disk: QEMU is the container's process, under the host's warden, and the serial console its
/// standard input and output.
extension Container {
    var diskMachineFiles: MachineFiles { MachineFiles(id: id, configuration: engine.configuration) }
    /// What it has written over the image's disk.
    var machineDisk: String { directory + "/disk.qcow2" }
    var seedPath: String { directory + "/seed.iso" }
    var variablesPath: String { directory + "/variables.fd" }

    func control(_ pid: Int32) -> MachineControl {
        MachineControl(folder: diskMachineFiles.folder) { Glibc.kill(pid, 0) == 0 }
    }

    func imageDisk() async throws -> ImageDisk {
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        return try await engine.threads.run { try ImageDisk(layers: layers) }
    }

    /// Makes its disk, empty over the image's; at the creation.
    ///
    /// - Throws: `.invalid` when the image has no disk, or it shall be smaller than that.
    func makeDisk() async throws {
        let base = try await imageDisk()
        let size = try DiskMachineLimits.diskSize(record.hostConfig) ?? base.format.size
        guard size >= base.format.size else {
            throw SkalaError(
                .invalid,
                "a disk of \(ByteSize.decimal(size)) is smaller than the image's of \(ByteSize.decimal(base.format.size))"
            )
        }
        try FileContents.replace(machineDisk, with: QCOW2.empty(size: size), mode: 0o600)
    }

    /// The size of its disk, in bytes.
    func diskSize() throws -> Int64 { try DiskFormat(of: .open(machineDisk, O_RDONLY | CL_O_NOFOLLOW)).size }

    /// The bytes it takes on the host beside the image.
    func writtenDiskBytes() -> Int64 {
        var status = stat()
        return stat(machineDisk, &status) == 0 ? Int64(status.st_blocks) * 512 : 0
    }

    // MARK: start

    /// Everything QEMU needs, and from it what the warden's `create` needs.
    func prepareDiskMachine() async throws -> PreparedStart {
        let base = try await imageDisk()
        let network = try await prepareNetwork()
        let endpoint = network.endpoints.first
        let cores = try await claimCores()
        let configuration = engine.configuration
        let program = configuration.machineProgram
        guard access(program, X_OK) == 0 else {
            throw SkalaError(.unavailable, "machines need \(program) (Debian: qemu-system-x86), which is not installed")
        }
        let firmware = hasUEFI ? try Firmware.find() : nil
        if let resumption { try checkAddress(of: resumption, endpoint) }
        let accelerator: Accelerator
        if let resumption {
            accelerator = resumption.machine.accelerator
        } else {
            accelerator = try await engine.machines.machineAccelerator()
        }
        let files = diskMachineFiles
        let (seed, variables, seedPath) = (try seed(endpoint, network), variablesPath, seedPath)
        try await engine.threads.run {
            try files.make()
            try FileContents.replace(seedPath, with: try SeedImage.make(seed), mode: 0o600)
            if let firmware, access(variables, F_OK) != 0 {
                try FileContents.replace(variables, with: try FileContents.read(firmware.variables), mode: 0o600)
            }
        }
        if endpoint != nil {
            do {
                try await engine.networks.lease(
                    containerID: id,
                    GuestSettings(
                        hostname: record.config["Hostname"].string ?? "", nameServers: guestNameServers(network),
                        searchDomain: searchDomain(network)))
            } catch {
                // cloud-init tells it all the same.
                engine.log.error("machine \(record.name) gets no answer by DHCP", ["error": "\(error)"])
            }
        }
        let command = try await diskMachineCommand(
            program: program, accelerator, processors: resumption?.machine.shape.processors ?? processors(cores),
            hardware: endpoint?.macAddress, continues: resumption != nil)
        var resources = machineResources(record.hostConfig)
        allocation.adjust(&resources, cores: cores)
        var spec = MachineSpec(
            id: id, arguments: command.arguments, root: files.root, folder: files.folder,
            cgroupParent: cgroupParent ?? configuration.cgroupParent,
            devices: accelerator == .kvm ? [HostDevice.look("/dev/kvm")].compactMap { $0 } : [], memory: machineMemory,
            isClone: false
        ).json(resources: resources, hasTerminal: hasTerminal)
        let priority = record.hostConfig["OomScoreAdj"].int ?? 0
        spec["process"]["oomScoreAdj"] = JSON(priority == 0 ? allocation.oomScoreAdjustment : priority)
        let (machineDisk, state) = (machineDisk, resumption?.files.state ?? "")
        let descriptors = command.inherited.map { inherited -> JSON in
            switch inherited {
            case .disk: ["file": JSON(machineDisk), "mode": "write"]
            case .base: ["file": JSON(base.path)]
            case .seed: ["file": JSON(seedPath)]
            case .tap: ["tap": JSON(VirtualMachine.tap(of: id))]
            case .firmware: ["file": JSON(firmware?.code ?? "")]
            case .variables: ["file": JSON(variables), "mode": "write"]
            case .state: ["file": JSON(state)]
            }
        }
        return PreparedStart(
            spec: spec, rootfs: .null, hostResources: [:], descriptors: descriptors,
            stateNumber: resumption == nil ? nil : command.stateNumber)
    }

    private var hasUEFI: Bool {
        record.hostConfig["Annotations"][DiskMachineLimits.firmwareAnnotation].string == "uefi"
    }

    /// How its QEMU is called.
    func diskMachineCommand(
        program: String, _ accelerator: Accelerator, processors: Int, hardware: String?, continues: Bool
    ) async throws -> DiskMachineCommand {
        DiskMachineCommand(
            program: program, accelerator: accelerator, folder: MachineSpec.socketFolder, processors: processors,
            memory: machineMemory, reservesMemory: allocation == .dedicated,
            baseDriver: try await imageDisk().format.driver, macAddress: hardware, hasUEFI: hasUEFI,
            uuid: String(id.prefix(32)), continues: continues)
    }

    private func seed(_ endpoint: Endpoint?, _ network: PreparedNetwork) throws -> [(name: String, content: String)] {
        let hostname = record.config["Hostname"].string ?? Identifier.short(id)
        return CloudInit(
            id: id, hostname: hostname, endpoint: endpoint,
            nameServers: guestNameServers(network), searchDomain: searchDomain(network),
            variables: record.config["Env"].strings ?? [],
            userData: record.hostConfig["Annotations"][DiskMachineLimits.userDataAnnotation].string
        ).files
    }

    /// What a guest puts behind a name without a dot; on networks whose names our own server knows.
    private func searchDomain(_ network: PreparedNetwork) -> String? {
        network.resolvConf == nil ? nil : GuestSettings.localDomain
    }

    /// Those the user named, the network's own, or the host's that can be reached from elsewhere.
    private func guestNameServers(_ network: PreparedNetwork) -> [String] {
        let own = record.hostConfig["Dns"].strings ?? []
        if network.resolvConf == nil, !own.isEmpty { return own }
        // Missing on a host without one: then there is nothing to hand on.
        let ofHost = (try? FileContents.read("/etc/resolv.conf")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return (network.resolvConf ?? ofHost).split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, words[0] == "nameserver", let address = try? IPAddress(parsing: String(words[1])),
                !address.description.hasPrefix("127."), address.description != "::1"
            else { return nil }
            return address.description
        }
    }

    /// Bytes of guest memory, in whole mebibytes.
    private var machineMemory: Int64 {
        let given = record.hostConfig["Memory"].int ?? 0
        return given > 0 ? (given + (1 << 20) - 1) & ~((1 << 20) - 1) : DiskMachineLimits.defaultMemory
    }

    /// A processor for each that it may use.
    private func processors(_ cores: CPUSet?) -> Int {
        let nano = record.hostConfig["NanoCpus"].int ?? 0
        let count = nano > 0 ? Int((nano + 999_999_999) / 1_000_000_000) : cores?.cores.count ?? HostFacts.onlineCPUs
        return min(max(1, count), 64)
    }

    /// `linux.resources` for QEMU, which needs memory beside its guest's.
    func machineResources(_ host: JSON) -> JSON {
        let given = ContainerResources.spec(host, defaultPidsLimit: nil)
        var resources: JSON = [:]
        for key in ["cpu", "blockIO"] where !given[key].isNull { resources[key] = given[key] }
        resources["memory"] = ["limit": JSON(machineMemory + MachineSpec.overhead)]
        if !given["memory"]["reservation"].isNull {
            resources["memory"]["reservation"] = given["memory"]["reservation"]
        }
        return resources
    }

    /// Checks a change of the limits.
    func checkDiskMachineUpdate(_ changes: JSON) throws {
        try DiskMachineLimits.check(["HostConfig": changes])
        guard !record.state.isAlive || (changes["Memory"].int ?? 0) == 0 else {
            throw DiskMachineLimits.refused(
                "changing the memory of a running one", "it was given it when it was started: stop it first")
        }
    }

    /// Changed limits of a running machine: its memory is what it was.
    func machineLimits(_ changes: JSON) -> JSON {
        var resources = ContainerResources.spec(changes, defaultPidsLimit: nil)
        resources["memory"] = .null
        return resources
    }

    /// Lets the machine run, which QEMU holds so far: with its disk's size, its network and its cores.
    ///
    /// - Parameter number: of the descriptor that a snapshot's memory and devices are read from; nil boots.
    func runDiskMachine(_ pid: Int32, continuingFrom number: Int?) async throws {
        let control = control(pid)
        do {
            // A GiB a second, when it is taken before the machine runs.
            let seconds = 10 + (allocation == .dedicated ? machineMemory >> 30 : 0)
            try await engine.threads.run { try control.waitUntilReady(seconds: seconds) }
            if let number {
                // Long: not on the threads everybody waits for.
                try await WorkerThreads(limit: 1).run { try control.loadMachine(number: number) }
            }
            let wanted = try DiskMachineLimits.diskSize(record.hostConfig)
            let size = try diskSize()
            if let wanted, wanted > size { try await engine.threads.run { try control.resizeDisk(to: wanted) } }
            if let endpoint = await engine.networks.endpoints(of: id).first {
                try await engine.networks.plug(
                    VirtualMachine.tap(of: id), to: endpoint, containerID: id,
                    rate: try ContainerResources.networkRate(record.hostConfig))
            }
            try await pinProcessors(control, pid)
            try await engine.threads.run { try control.proceed() }
        } catch {
            let said = VirtualMachines.lastWords(logPath)
            throw ((error as? SkalaError) ?? SkalaError(.system, "\(error)")).within("cannot start the machine" + said)
        }
    }

    /// Gives each processor of a dedicated machine a core of its own.
    private func pinProcessors(_ control: MachineControl, _ pid: Int32) async throws {
        guard allocation == .dedicated, let cores = await containers.dedicatedCores(id)?.cores, !cores.isEmpty else {
            return
        }
        try await engine.threads.run {
            let threads = try control.processorThreads()
            let numbers = try ProcessThreads.numbers(of: pid)
            for (index, thread) in threads.enumerated() {
                guard let number = numbers[thread] else { continue }  // it has ended
                try ProcessThreads.pin(number, to: cores[index % cores.count])
            }
        }
    }

    /// Of a machine that has ended.
    func cleanUpDiskMachine() {
        if record.isolation == .machine { diskMachineFiles.remove() }
    }

    // MARK: stop

    /// How long a guest may take to shut itself down, in seconds, when the user said nothing.
    static let powerDownGrace: Int64 = 60
    /// A guest that still boots does not hear its power button: it is pressed again.
    private static let pressInterval: UInt64 = 5_000_000_000

    /// What asks a process to end presses a machine's power button, once; other signals mean nothing to it.
    func pressPowerButton(signal: Int32) async throws {
        guard [SIGTERM, SIGINT, SIGPWR].contains(signal) else {
            throw DiskMachineLimits.refused(
                "signal \(signal)", "TERM, INT and PWR press its power button, KILL ends it")
        }
        if signal == SIGTERM { record.hasBeenManuallyStopped = true }
        let control = control(record.state.pid)
        try await engine.threads.run { try control.pressPowerButton() }
        publish("kill", ["signal": "\(signal)"])
    }

    /// Presses the power button until the task is cancelled.
    func keepPressingPowerButton() -> Task<Void, Never> {
        let control = control(record.state.pid)
        let (threads, log, id) = (engine.threads, engine.log, id)
        return Task {
            while !Task.isCancelled {
                do {
                    try await threads.run { try control.pressPowerButton() }
                } catch { log.debug("power button of machine \(Identifier.short(id))", ["error": "\(error)"]) }
                // Cancelled: looked at above.
                try? await Task.sleep(nanoseconds: Container.pressInterval)
            }
        }
    }

    /// - Throws: `.invalid` for a machine, in which nothing of ours runs.
    public func requireWarden(_ what: String) throws(SkalaError) {
        if record.isolation == .machine { throw DiskMachineLimits.refused(what, "nothing of Skala's runs in it") }
    }
}
