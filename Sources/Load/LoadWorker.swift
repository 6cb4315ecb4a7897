import Base
import CLinux
import Glibc
import Kernel
import Synchronization

/// One thread's share of a load: its connections, driven by epoll. Everything happens on the thread that calls `run`.
///
/// A request takes an idle connection of its origin, or opens one. In a closed loop a new request follows an answer as
/// long as the profile wants so many; in an open loop requests follow the clock, wait for a connection when all are
/// taken, and their latency counts from when they were due.
final class LoadWorker {
    private let plan: LoadPlan
    private let monitor: LoadMonitor
    private let number: Int
    private let requests: [[UInt8]]
    private let origins: [(addresses: [HostAddress], host: String, isSecure: Bool)]
    private let originOfTarget: [Int]
    private let tls: TLSClient?

    private let epoll: OwnedDescriptor
    private let timer: OwnedDescriptor
    /// What the timer is set to.
    private var alarm: Int64 = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)

    private var connections: [LoadConnection] = []
    private var free: [Int] = []
    private var idle: [[Int]]
    /// Requests under way.
    private var busy = 0
    /// Users that wait a little after their connection failed: until when.
    private var resting: [Int64] = []
    private var begun: UInt64 = 0
    private let limit: UInt64
    private var nextTarget: Int
    private var nextAddress: Int
    private var arrivals: ArrivalSchedule
    private var start: Int64 = 0
    private var end: Int64 = 0
    private var intervalEnd: Int64 = 0
    private var nextSweep: Int64 = 0
    private var now: Int64 = 0
    private var statistics = LoadStatistics()

    private static let timerSlot = UInt64.max
    /// How long a user of a closed loop waits after a connection that failed: it would else try some 50,000 a second.
    private static let rest: Int64 = 100_000_000

    init(
        _ plan: LoadPlan, number: Int, origins: [LoadTarget.Origin: [HostAddress]], monitor: LoadMonitor
    ) throws {
        self.plan = plan
        self.number = number
        self.monitor = monitor
        requests = plan.targets.map(plan.request)
        var places: [LoadTarget.Origin: Int] = [:]
        var list: [(addresses: [HostAddress], host: String, isSecure: Bool)] = []
        originOfTarget = plan.targets.map { target in
            if let place = places[target.origin] { return place }
            places[target.origin] = list.count
            list.append((origins[target.origin] ?? [], target.host, target.isSecure))
            return list.count - 1
        }
        self.origins = list
        idle = Array(repeating: [], count: list.count)
        tls = list.contains(where: \.isSecure) ? try TLSClient(isInsecure: plan.isInsecure) : nil
        let threads = plan.threads
        limit = LoadWorker.share(of: plan.requestLimit ?? .max, number, threads)
        arrivals = ArrivalSchedule(plan.profile, worker: number, workers: threads)
        nextTarget = number % plan.targets.count
        nextAddress = number
        epoll = OwnedDescriptor(try checkErrno(epoll_create1(Int32(O_CLOEXEC)), "epoll_create1"))
        timer = OwnedDescriptor(
            try checkErrno(timerfd_create(CLOCK_MONOTONIC, Int32(TFD_NONBLOCK | TFD_CLOEXEC)), "timerfd_create"))
        // Reported once for each time it runs out: nobody has to read it.
        var event = epoll_event(
            events: EventLoop.Interest([.readable, .changes]).rawValue, data: epoll_data_t(u64: LoadWorker.timerSlot))
        try checkErrno(epoll_ctl(epoll.raw, EPOLL_CTL_ADD, timer.raw, &event), "epoll_ctl")
    }

    deinit { buffer.deallocate() }

    private static func share(of total: UInt64, _ number: Int, _ count: Int) -> UInt64 {
        guard total < .max else { return .max }
        return total / UInt64(count) + (UInt64(number) < total % UInt64(count) ? 1 : 0)
    }

    /// The worker's share of a number of users.
    private func share(of users: Double) -> Int {
        let total = UInt64(max(0, users.rounded()))
        return Int(LoadWorker.share(of: total, number, plan.threads))
    }

    /// Works until the load's end, or until the monitor says stop.
    ///
    /// - Parameter start: the moment the profile begins, on the monotonic clock.
    func run(from start: Int64) throws(KernelError) {
        self.start = start
        end = start + plan.profile.duration
        intervalEnd = start + plan.interval
        now = SystemClock.monotonicNanoseconds()
        let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        while !monitor.isStopped {
            issue()
            if busy == 0, isOver { break }
            if now >= end + plan.timeout { break }
            try wait(events)
            sweep()
            report()
        }
        now = SystemClock.monotonicNanoseconds()
        finish()
    }

    /// Nothing more will be sent.
    private var isOver: Bool {
        if begun >= limit { return true }
        return plan.profile.quantity == .rate ? arrivals.next == nil : now >= end
    }

    // MARK: what is sent

    private func issue() {
        if plan.profile.quantity == .rate { issueDue() } else { issueWanted() }
    }

    private func issueDue() {
        let most = max(1, share(of: Double(plan.connectionLimit)))
        while begun < limit, busy < most, let next = arrivals.next, start + next <= now {
            arrivals.advance()
            begin(intended: start + next)
        }
    }

    private func issueWanted() {
        if let first = resting.first, first <= now { resting.removeAll { $0 <= now } }
        guard now >= start, now < end else { return }
        let wanted = share(of: plan.profile.value(at: now - start))
        while begun < limit, busy + resting.count < wanted { begin(intended: now) }
    }

    private func begin(intended: Int64) {
        begun += 1
        let target = nextTarget
        nextTarget = (target + plan.threads) % plan.targets.count
        let origin = originOfTarget[target]
        busy += 1
        if let slot = idle[origin].popLast() {
            let connection = connections[slot]
            prepare(connection, target, intended)
            connection.state = .sending
            return proceed(connection, connection.send(requests[target]))
        }
        let connection = takeConnection()
        connection.origin = origin
        prepare(connection, target, intended)
        open(connection)
    }

    private func prepare(_ connection: LoadConnection, _ target: Int, _ intended: Int64) {
        connection.target = target
        connection.sent = 0
        connection.intended = intended
        connection.deadline = now + plan.timeout
        connection.isRepeated = false
        connection.parser.reset()
        connection.state = .connecting
    }

    private func takeConnection() -> LoadConnection {
        if let slot = free.popLast() { return connections[slot] }
        let connection = LoadConnection(slot: connections.count, isHead: plan.method == "HEAD")
        connections.append(connection)
        return connection
    }

    private func open(_ connection: LoadConnection) {
        let addresses = origins[connection.origin].addresses
        nextAddress = (nextAddress + 1) % addresses.count
        let (socket, error) = addresses[nextAddress].connect()
        guard error == 0 else { return proceed(connection, .failed(LoadFailure(errno: error))) }
        statistics.connections += 1
        connection.socket = socket
        connection.interest = .writable
        connection.watched = .writable
        var event = epoll_event(
            events: connection.interest.rawValue, data: epoll_data_t(u64: UInt64(connection.slot)))
        if epoll_ctl(epoll.raw, EPOLL_CTL_ADD, socket, &event) < 0 { proceed(connection, .failed(.local)) }
    }

    // MARK: what happens

    private func wait(_ events: UnsafeMutableBufferPointer<epoll_event>) throws(KernelError) {
        var until = min(intervalEnd, now + 50_000_000)
        if plan.profile.quantity == .rate, let next = arrivals.next, busy < share(of: Double(plan.connectionLimit)) {
            until = min(until, start + next)
        }
        if now < start { until = min(until, start) }
        if let first = resting.first { until = min(until, first) }
        if until != alarm, until > now {
            alarm = until
            var time = itimerspec()
            time.it_value = timespec(tv_sec: Int(until / 1_000_000_000), tv_nsec: Int(until % 1_000_000_000))
            timerfd_settime(timer.raw, Int32(TFD_TIMER_ABSTIME), &time, nil)
        }
        // The timer may have run out before it was waited for; the limit is for that.
        let count = epoll_wait(epoll.raw, events.baseAddress, Int32(events.count), until > now ? 100 : 0)
        now = SystemClock.monotonicNanoseconds()
        if count < 0 {
            if errno != EINTR { throw KernelError("epoll_wait", "", errno: errno) }
            return
        }
        for index in 0..<Int(count) where events[index].data.u64 != LoadWorker.timerSlot {
            handle(connections[Int(events[index].data.u64)])
            // So that users do not wait for the rest of the events.
            if plan.profile.quantity == .concurrency { issue() }
        }
    }

    private func handle(_ connection: LoadConnection) {
        switch connection.state {
        case .closed: break
        case .idle:
            // The server has closed it, or speaks unasked.
            idle[connection.origin].removeAll { $0 == connection.slot }
            release(connection)
        case .connecting:
            let error = HostAddress.error(of: connection.socket)
            guard error == 0 else { return proceed(connection, .failed(LoadFailure(errno: error))) }
            guard origins[connection.origin].isSecure else {
                connection.state = .sending
                return proceed(connection, connection.send(requests[connection.target]))
            }
            connection.state = .handshaking
            connection.tls = tls?.session(on: connection.socket, host: origins[connection.origin].host)
            handshake(connection)
        case .handshaking: handshake(connection)
        case .sending:
            let outcome = connection.send(requests[connection.target])
            // A server may answer, and end the connection, before it has read the request.
            if connection.state == .sending || isFailure(outcome) { return receive(connection, or: outcome) }
            proceed(connection, outcome)
        case .receiving: receive(connection, or: .waits)
        }
    }

    private func isFailure(_ outcome: LoadConnection.Outcome) -> Bool {
        if case .failed = outcome { true } else { false }
    }

    private func handshake(_ connection: LoadConnection) {
        switch connection.tls?.handshake() {
        case .moved:
            connection.state = .sending
            proceed(connection, connection.send(requests[connection.target]))
        case .wantsRead: watch(connection, .readable)
        case .wantsWrite: watch(connection, .writable)
        case .failed, nil: proceed(connection, .failed(.tls))
        }
    }

    private func receive(_ connection: LoadConnection, or other: LoadConnection.Outcome) {
        let outcome = connection.receive(buffer, &statistics.bytesReceived)
        if case .waits = outcome, isFailure(other) { return proceed(connection, other) }
        // OpenSSL may hold bytes that epoll knows nothing of.
        if case .waits = outcome, connection.tls != nil, connection.state == .receiving {
            return drain(connection)
        }
        proceed(connection, outcome)
    }

    private func drain(_ connection: LoadConnection) {
        while connection.hasBufferedBytes {
            let outcome = connection.receive(buffer, &statistics.bytesReceived)
            guard case .waits = outcome else { return proceed(connection, outcome) }
        }
        proceed(connection, .waits)
    }

    private func proceed(_ connection: LoadConnection, _ outcome: LoadConnection.Outcome) {
        switch outcome {
        case .waits: watch(connection, connection.interest)
        case .answered(let reusable):
            now = SystemClock.monotonicNanoseconds()
            statistics.answered += 1
            statistics.latency.record(now - connection.intended)
            statistics.count(status: connection.parser.status)
            if !plan.expectedStatuses.contains(connection.parser.status) { statistics.count(.status) }
            busy -= 1
            connection.answers += 1
            guard reusable, plan.keepsAlive else { return release(connection) }
            connection.state = .idle
            watch(connection, .readable)
            idle[connection.origin].append(connection.slot)
        case .failed(let failure):
            if repeats(connection, failure) { return }
            statistics.count(failure)
            busy -= 1
            let hadConnected = connection.state == .sending || connection.state == .receiving
            release(connection)
            if !hadConnected, plan.profile.quantity == .concurrency { resting.append(now + LoadWorker.rest) }
        }
    }

    /// A server may close a connection that waits for the next request at the moment that is sent. As browsers and Go do,
    /// it is sent again on a new connection, once (RFC 9112, section 9.3.1).
    private func repeats(_ connection: LoadConnection, _ failure: LoadFailure) -> Bool {
        guard failure == .reset || failure == .closed, connection.answers > 0, !connection.parser.hasBegun,
            !connection.isRepeated, plan.isIdempotent
        else { return false }
        statistics.repeated += 1
        connection.close()
        connection.sent = 0
        connection.parser.reset()
        connection.isRepeated = true
        connection.state = .connecting
        open(connection)
        return true
    }

    private func watch(_ connection: LoadConnection, _ interest: EventLoop.Interest) {
        connection.interest = interest
        guard connection.watched != interest else { return }
        connection.watched = interest
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: UInt64(connection.slot)))
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_MOD, connection.socket, &event)
    }

    private func release(_ connection: LoadConnection) {
        connection.close()
        free.append(connection.slot)
    }

    // MARK: time

    /// Ends requests whose time is up.
    private func sweep() {
        guard now >= nextSweep else { return }
        nextSweep = now + 50_000_000
        for connection in connections where connection.deadline <= now {
            switch connection.state {
            case .closed, .idle: break
            case .connecting, .handshaking, .sending, .receiving: proceed(connection, .failed(.timeout))
            }
        }
    }

    /// Hands over what was counted in the interval that has passed.
    private func report() {
        while now >= intervalEnd {
            hand()
            intervalEnd += plan.interval
        }
    }

    private func hand() {
        statistics.underWay = busy
        monitor.take(statistics, interval: Int((intervalEnd - start) / plan.interval) - 1)
        statistics.removeAll()
    }

    /// What has no answer now gets none. After a stop by the user that is nobody's failure.
    private func finish() {
        if !monitor.isStopped {
            for connection in connections {
                switch connection.state {
                case .closed, .idle: break
                case .connecting, .handshaking, .sending, .receiving: statistics.count(.timeout)
                }
            }
            while plan.profile.quantity == .rate, begun < limit, arrivals.next != nil {
                statistics.count(.unsent)
                begun += 1
                arrivals.advance()
            }
            busy = 0
        }
        for connection in connections { connection.close() }
        report()
        hand()
    }
}
