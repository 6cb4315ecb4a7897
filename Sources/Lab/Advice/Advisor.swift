import Base
public import Planning

/// Recommends an isolation and an allocation by what was measured on this host.
///
/// The rules, which docs/lab.md has for people:
///
/// 1. Trust says which wall there must be: `none` a VM of its own (microvm), `tenant` a VM for each tenant (pod), `full` none
///    beyond the kernel's (container).
/// 2. With full trust it is a microvm all the same where that proves to get more done beside neighbours, overhead included, unless
///    fast starts or density are asked for and a VM proves to be worse at that.
/// 3. Cores of its own where shared ones prove to lose more beside neighbours, and, where its use is known, more than its own
///    cores would stand idle; with density only where a victim on shared cores did not finish.
/// 4. What is not measured changes nothing: the wall then decides alone, and allocation is the engine's default, shared.
public struct Advisor {
    private let request: AdviceRequest
    private let figures: Figures

    public static func advise(_ request: AdviceRequest, _ profile: HostProfile?) -> Advice {
        Advisor(request: request, figures: Figures(profile: profile)).advice
    }

    private var resource: Resource { request.profile }

    private var advice: Advice {
        let (isolation, wall) = isolation
        let (allocation, why) = allocation(of: isolation)
        let choice = Advice.Choice(isolation, allocation)
        var reasons = [wall, figures.alone(resource, isolation)]
        reasons += figures.neighbours(resource, isolation, allocation, rivalries)
        reasons.append(why)
        if request.startsFast { reasons.append(figures.start(isolation)) }
        if request.isDense, isolation != "container" { reasons.append(figures.memory(isolation)) }
        return Advice(
            choice: choice, reasons: reasons, runnerUp: runnerUp(to: choice), commands: commands(choice),
            remarks: figures.remarks(resource))
    }

    // MARK: rules 1 and 2

    private var isolation: (name: String, why: String) {
        switch request.trust {
        case .none:
            return (
                "microvm",
                "nothing of it is trusted: it gets a kernel of its own behind a VM's wall. A container's wall is the host's one "
                    + "kernel, where one flaw is enough"
            )
        case .tenant:
            return (
                "pod",
                "it is trusted by its own tenant only: the tenant's containers share a VM, and with it a kernel, that no other "
                    + "tenant has"
            )
        case .full:
            guard let gain = figures.gain(of: "microvm", over: "container", resource, rivalries) else {
                return (
                    "container",
                    "it is trusted: the kernel's wall is enough, and no other isolation proves to do more here"
                )
            }
            if request.startsFast, figures.isWorse("microvm", "container", { $0.start($1) }) {
                return (
                    "container",
                    "it is trusted and must start fast, which it does as a container: \(figures.start("container"))"
                )
            }
            if request.isDense, figures.profile?.memory("microvm")?.isProved == true {
                return (
                    "container", "it is trusted and must be dense: as a container it takes no memory beside its own"
                )
            }
            return ("microvm", "it is trusted, but neighbours disturb it less behind a VM's wall: \(gain)")
        }
    }

    /// Those that count: who is not trusted may do anything to the others, so that it matters what a hostile one can do at an
    /// isolation.
    private var rivalries: [HostProfile.Neighbour] {
        request.trust == .full ? [.competing, .orthogonal] : HostProfile.Neighbour.allCases
    }

    // MARK: rule 3

    private func allocation(of isolation: String) -> (name: String, why: String) {
        guard isolation != "pod" else {
            return ("shared", "containers of a pod share its VM's processors: there are no cores of their own in it")
        }
        guard let shared = figures.worst(resource, isolation, "shared", rivalries),
            let dedicated = figures.worst(resource, isolation, "dedicated", rivalries)
        else { return ("shared", "shared is the default; what dedicated cores would win is not measured") }
        let (less, more) = (figures.text(dedicated), figures.text(shared))
        guard Figures.isProvedWorse(shared, than: dedicated) else {
            return (
                "shared",
                "shared: that cores of its own lose less is not proved (worst on its own: \(less); on shared ones: \(more))"
            )
        }
        let unfinished = shared.value == nil
        if request.isDense, !unfinished {
            return (
                "shared",
                "shared, for density: cores of its own would lose less (\(less); shared \(more)), and be nobody else's while idle"
            )
        }
        let saved = shared.countedLoss - dedicated.countedLoss
        if let use = request.service?.use, !unfinished, saved <= 1 - use {
            return (
                "shared",
                "shared: cores of its own would save \(Figures.percent(saved)) of its work and stand idle "
                    + "\(Figures.percent(1 - use)) of the time, as it is used now"
            )
        }
        let price =
            request.service?.use.map { "; at its present use they stand idle \(Figures.percent(1 - $0)) of the time" }
            ?? "; the price: they are nobody else's while idle"
        return ("dedicated", "cores of its own: worst beside neighbours \(less), on shared ones \(more)\(price)")
    }

    // MARK: the other one

    private func runnerUp(to choice: Advice.Choice) -> (Advice.Choice, String) {
        switch request.trust {
        case .none:
            let other = allocation(of: "container").name
            let alone = figures.alone(resource, "container")
            let harm = figures.harm(resource, "container", other)
            return (
                .init("container", other), "\(alone), but its wall is the host's kernel. \(harm)"
            )
        case .tenant:
            let other = allocation(of: "microvm").name
            return (
                .init("microvm", other),
                "a kernel for each container is more than is asked for, and each VM takes memory: \(figures.memory("microvm"))"
            )
        case .full:
            let isolation = choice.isolation == "container" ? "microvm" : "container"
            let other = allocation(of: isolation).name
            let worst = figures.worst(resource, isolation, other, rivalries).map(figures.text) ?? Figures.notMeasured
            return (
                .init(isolation, other),
                "\(figures.alone(resource, isolation)); worst beside neighbours: \(worst)"
                    + (isolation == "microvm" ? "; \(figures.memory(isolation))" : "")
            )
        }
    }

    // MARK: what to type

    private func commands(_ choice: Advice.Choice) -> [String] {
        let isPod = choice.isolation == "pod"
        let extension_ =
            "x-skala: {"
            + (isPod ? "tenant: TENANT" : "isolation: \(choice.isolation), allocation: \(choice.allocation)")
            + ", profile: \(resource.rawValue), trust: \(request.trust.rawValue)}"
        guard let service = request.service else {
            let flags =
                isPod
                ? "--annotation skala.tenant=TENANT"
                : "--isolation \(choice.isolation) --allocation \(choice.allocation)"
            return ["skala run \(flags) IMAGE", "\(extension_)      # of a service in a Compose file"]
        }
        if service.isolation == choice.isolation, service.allocation == choice.allocation { return [] }
        let isolation = choice.isolation == "container" ? "default" : choice.isolation
        let label = isPod ? "skala.tenant=TENANT" : "skala.allocation=\(choice.allocation)"
        return [
            "docker service update" + (isPod ? "" : " --isolation \(isolation)")
                + " --container-label-add \(label) \(service.name)",
            "\(extension_)      # in its Compose file",
        ]
    }
}
