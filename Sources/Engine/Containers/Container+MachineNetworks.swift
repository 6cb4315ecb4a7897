import Base
import CLinux
import Kernel
import Machines
import Networks

/// The network cards of a container's VM.
extension Container {
    /// Connects a card of the VM to each of the networks: its first one, and others that are plugged in for that.
    ///
    /// - Parameter earlier: the endpoints that are connected already.
    /// - Returns: `interfaces` of the warden's operation `configure`.
    func plugCards(
        of machine: VirtualMachine, into endpoints: [Endpoint], after earlier: [Endpoint] = []
    ) async throws -> [JSON] {
        let control = machine.control
        let rate = try ContainerResources.networkRate(record.hostConfig)
        var taken = Set(await engine.networks.taps(of: id).values.compactMap(VirtualMachine.card))
        // One that the guest does not let go of stays where it is.
        if !earlier.isEmpty || endpoints.count > 1 {
            taken.formUnion(try await engine.threads.run { try control.cards() })
        }
        var interfaces: [JSON] = []
        for (index, endpoint) in endpoints.enumerated() {
            guard let number = (0..<MachineCommand.maximumCards).first(where: { !taken.contains($0) }) else {
                throw MachineLimits.refused(
                    "a further network", "its VM has all of its \(MachineCommand.maximumCards) network cards",
                    record.isolation)
            }
            taken.insert(number)
            let tap = VirtualMachine.tap(of: machine.id, card: number)
            if number > 0 {
                try await engine.threads.run {
                    try control.plugCard(number, tap: OwnedDescriptor(try check(cl_open_tap(tap), "open tap", tap)))
                }
            }
            try await engine.networks.plug(tap, to: endpoint, containerID: id, rate: rate)
            interfaces.append(
                endpoint.guestInterface(
                    card: number, gateways: endpoint.defaultGateways(after: earlier + endpoints[..<index])))
        }
        // As a container without a network, it has none but lo.
        if endpoints.isEmpty { interfaces.append(Container.absentCard(0)) }
        return interfaces
    }

    /// The cards of a VM that continues from a snapshot: where they were they are no more. Each gets the name that it has or one
    /// that is free by then, since both lists are in the order of their names.
    static func resumedCards(_ cards: [Int], _ endpoints: [Endpoint]) -> [JSON] {
        var interfaces = zip(cards, endpoints).enumerated().map { index, pair in
            var card = pair.1.guestInterface(
                card: pair.0, gateways: pair.1.defaultGateways(after: Array(endpoints[..<index])))
            card["clear"] = true
            return card
        }
        interfaces += cards.dropFirst(endpoints.count).map(absentCard)
        // What nobody has used is none, either.
        if cards.isEmpty, endpoints.isEmpty { interfaces.append(absentCard(0)) }
        return interfaces
    }

    /// Connects those to the networks; networks that came since get cards of their own, cards without a network go.
    func plugResumedCards(of machine: VirtualMachine, _ cards: [Int], _ endpoints: [Endpoint]) async throws {
        let rate = try ContainerResources.networkRate(record.hostConfig)
        for (index, endpoint) in endpoints.enumerated() {
            guard !cards.indices.contains(index) else {
                let tap = VirtualMachine.tap(of: machine.id, card: cards[index])
                try await engine.networks.plug(tap, to: endpoint, containerID: id, rate: rate)
                continue
            }
            let interfaces = try await plugCards(of: machine, into: [endpoint], after: Array(endpoints[..<index]))
            try await machine.request(
                "configure", ["interfaces": JSON(interfaces)], seconds: Container.configureDeadline)
        }
        for card in cards.dropFirst(endpoints.count) {
            await releaseCard(of: machine, tap: VirtualMachine.tap(of: machine.id, card: card))
        }
    }

    static func absentCard(_ number: Int) -> JSON {
        ["hardware": JSON(MachineCommand.hardwareAddress(card: number)), "absent": true]
    }

    /// Connects the VM to a network that its container has been connected to.
    func connectMachine(_ machine: VirtualMachine, to endpoint: Endpoint) async throws {
        let earlier = await engine.networks.endpoints(of: id).filter { $0.endpointID != endpoint.endpointID }
        do {
            let interfaces = try await plugCards(of: machine, into: [endpoint], after: earlier)
            try await machine.request(
                "configure", ["interfaces": JSON(interfaces)], seconds: Container.configureDeadline)
        } catch {
            let tap = await engine.networks.taps(of: id)[endpoint.endpointID]
            try await engine.networks.disconnect(containerID: id, networkID: endpoint.networkID)
            await releaseCard(of: machine, tap: tap)
            throw error
        }
    }

    /// Takes the VM off a network that its container has been taken off.
    ///
    /// - Parameters:
    ///   - endpoint: the one that is gone.
    ///   - before: all that there were.
    ///   - taps: the host's ends of the cards then.
    func disconnectMachine(
        _ machine: VirtualMachine, from endpoint: Endpoint, before: [Endpoint], taps: [String: String]
    ) async {
        let tap = taps[endpoint.endpointID]
        guard let number = tap.flatMap(VirtualMachine.card) else { return }
        var interfaces = [Container.absentCard(number)]
        for (interface, gateway) in Endpoint.newRoutes(before: before, without: endpoint) {
            guard let next = before.first(where: { $0.interface == interface }),
                let card = taps[next.endpointID].flatMap(VirtualMachine.card)
            else { continue }
            interfaces.append([
                "hardware": JSON(MachineCommand.hardwareAddress(card: card)), "gateways": [JSON(gateway)],
            ])
        }
        do {
            try await machine.request(
                "configure", ["interfaces": JSON(interfaces)], seconds: Container.configureDeadline)
        } catch {
            // Its wire has been cut; what its guest makes of that is the guest's.
            engine.log.error(
                "the VM of a container does not let go of a network", ["container": id, "error": "\(error)"])
        }
        await releaseCard(of: machine, tap: tap)
    }

    private func releaseCard(of machine: VirtualMachine, tap: String?) async {
        // The first one is the template's, and stays.
        guard let number = tap.flatMap(VirtualMachine.card), number > 0 else { return }
        let control = machine.control
        do {
            let isGone = try await engine.threads.run { try control.unplugCard(number) }
            if !isGone {
                engine.log.error(
                    "the guest of a container does not let go of network card \(number)", ["container": id])
            }
        } catch {
            engine.log.error("cannot unplug a network card of a container", ["container": id, "error": "\(error)"])
        }
    }

    // MARK: /etc

    /// Brings /etc/hosts and /etc/resolv.conf in line with the networks of the running container.
    ///
    /// - Parameters:
    ///   - resolver: what resolv.conf was before; it is left alone unless it changes.
    func updateEtcFiles(removing old: Endpoint?, adding new: Endpoint?, resolver before: String) async throws {
        // A machine's are its own.
        guard record.isolation != .machine else { return }
        let removed = [old?.ipv4, old?.ipv6].compactMap { $0 }.filter { !$0.isEmpty }.map { $0 + "\t" }
        let added = new.map { hosts(of: $0, hostname) } ?? ""
        let resolver = await resolvConf()
        let edit = LineEdit(removed: removed, added: added)
        for name in ["hosts", "resolv.conf"] where name == "hosts" || resolver != before {
            let path = directory + "/" + name
            let text =
                name == "hosts"
                ? edit.applied(to: String(decoding: try FileContents.read(path), as: UTF8.self)) : resolver
            try FileContents.overwrite(path, with: Array(text.utf8))
        }
        guard let machine else { return }
        var files: [JSON] = [
            ["path": JSON(guestEtcFile("hosts")), "removed": JSON(removed), "added": JSON(added)]
        ]
        if resolver != before { files.append(["path": JSON(guestEtcFile("resolv.conf")), "content": JSON(resolver)]) }
        try await machine.request("configure", ["files": JSON(files)], seconds: Container.configureDeadline)
    }
}

extension Endpoint {
    /// An element of `interfaces` of the warden's operation `configure`.
    func guestInterface(card number: Int, gateways: [String]) -> JSON {
        var addresses: [JSON] = [["address": JSON(ipv4), "prefix": JSON(prefixLength)]]
        if !ipv6.isEmpty { addresses.append(["address": JSON(ipv6), "prefix": JSON(ipv6PrefixLength)]) }
        return [
            "hardware": JSON(MachineCommand.hardwareAddress(card: number)), "name": JSON(interface),
            "mac": JSON(macAddress), "addresses": JSON(addresses), "gateways": JSON(gateways),
        ]
    }
}
