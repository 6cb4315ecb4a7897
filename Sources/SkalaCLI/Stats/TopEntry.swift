import Base

/// One line of `skala top`: a service, one of its tasks, or a container of no service.
struct TopEntry {
    enum Kind: String { case service, task, container }

    let kind: Kind
    let name: String
    /// Of a task: its service.
    let service: String
    var isolation = ""
    /// Of a service: running and wanted tasks; of a task its state.
    var state = ""
    /// Nil while it does not run.
    var sample: StatsSample?
    /// Of an HTTP service.
    var requestsPerSecond: Double?
    /// What the autoscaler saw and decided last; empty without one.
    var autoscaler = ""

    var cpu = 0.0
    var memory: Int64 = 0
    var memoryLimit: Int64 = 0
    var processes: Int64 = 0
    /// Per cent, of CPU, memory and I/O; of a service those of the task that waits most.
    var pressure: [Double?] = [nil, nil, nil]
    /// Bytes since the start, and a second.
    var received: Int64 = 0
    var sent: Int64 = 0
    var receivedRate = 0.0
    var sentRate = 0.0

    init(_ kind: Kind, name: String, service: String = "") {
        self.kind = kind
        self.name = name
        self.service = service
    }

    mutating func take(_ sample: StatsSample) {
        self.sample = sample
        (cpu, memory, memoryLimit, processes) = (sample.cpu, sample.memory, sample.memoryLimit, sample.processes)
        pressure = sample.pressure
        (received, sent) = (sample.received, sample.sent)
        (receivedRate, sentRate) = (sample.receivedRate, sample.sentRate)
    }

    /// The sum of a service's tasks.
    mutating func add(_ task: TopEntry) {
        guard task.sample != nil else { return }
        cpu += task.cpu
        memory += task.memory
        processes += task.processes
        received += task.received
        sent += task.sent
        receivedRate += task.receivedRate
        sentRate += task.sentRate
        pressure = zip(pressure, task.pressure).map { a, b in a.map { max($0, b ?? 0) } ?? b }
    }

    var worstPressure: Double { pressure.compactMap { $0 }.max() ?? 0 }

    static let columns = [
        ("NAME", "Name"), ("STATE", "State"), ("CPU %", "CPU"), ("MEMORY", "Memory"), ("CPU WAIT", "CPUPressure"),
        ("MEM WAIT", "MemoryPressure"), ("I/O WAIT", "IOPressure"), ("PIDS", "Processes"),
        ("IN/S", "ReceivedPerSecond"),
        ("OUT/S", "SentPerSecond"), ("REQ/S", "RequestsPerSecond"), ("ISOLATION", "Isolation"),
        ("AUTOSCALER", "Autoscaler"),
    ]

    var row: JSON {
        func share(_ value: Double?) -> JSON { JSON(value.map { Decimal.text($0, 1) + "%" } ?? "-") }
        let isMeasured = kind == .service || sample != nil
        let limited = memoryLimit > 0 ? Double(memory) / Double(memoryLimit) * 100 : nil
        return [
            "Kind": JSON(kind.rawValue), "ID": JSON(sample?.id ?? ""), "Name": JSON(name), "Service": JSON(service),
            "Isolation": JSON(isolation), "State": JSON(state), "CPU": share(isMeasured ? cpu : nil),
            "Memory": JSON(isMeasured ? ByteSize.binary(memory) : "-"), "MemoryShare": share(limited),
            "CPUPressure": share(pressure[0]), "MemoryPressure": share(pressure[1]), "IOPressure": share(pressure[2]),
            "Processes": JSON("\(processes)"), "Received": JSON(ByteSize.decimal(received)),
            "Sent": JSON(ByteSize.decimal(sent)), "ReceivedPerSecond": JSON(ByteSize.decimal(Int64(receivedRate))),
            "SentPerSecond": JSON(ByteSize.decimal(Int64(sentRate))),
            "RequestsPerSecond": JSON(requestsPerSecond.map { Decimal.text($0, 0) } ?? "-"),
            "Autoscaler": JSON(autoscaler.isEmpty ? "-" : autoscaler),
        ]
    }
}

/// What the lines of `skala top` are sorted by, and the key that chooses it.
enum TopOrder: String, CaseIterable {
    case cpu, memory, pressure, network, requests, name

    var key: UInt8 {
        switch self {
        case .cpu: UInt8(ascii: "c")
        case .memory: UInt8(ascii: "m")
        case .pressure: UInt8(ascii: "p")
        case .network: UInt8(ascii: "n")
        case .requests: UInt8(ascii: "r")
        case .name: UInt8(ascii: "a")
        }
    }

    /// The busiest first, those alike by name.
    func areOrdered(_ a: TopEntry, _ b: TopEntry) -> Bool {
        let (x, y) = (value(a), value(b))
        return x != y ? x > y : a.name.lexicographicallyPrecedes(b.name)
    }

    private func value(_ entry: TopEntry) -> Double {
        switch self {
        case .cpu: entry.cpu
        case .memory: Double(entry.memory)
        case .pressure: entry.worstPressure
        case .network: entry.receivedRate + entry.sentRate
        case .requests: entry.requestsPerSecond ?? 0
        case .name: 0
        }
    }
}
