public import Base
import Engine
import Kernel
public import Planning

/// A task as the store keeps it: one container of a service, from the wish until its history is forgotten.
public struct TaskRecord: Sendable {
    public let id: String
    var version: DocumentVersion
    public let serviceID: String
    /// 0 for those of global services, whose place is the node.
    public let slot: Int
    public var nodeID: String
    /// What it was made as; the service's may have changed since.
    public let spec: TaskSpec
    /// Of its specification, `ServiceRecord.templateVersion`.
    public let templateVersion: UInt64
    public let isJob: Bool
    public let jobIteration: Int64
    public internal(set) var state = TaskState.new
    public var desired: TaskState
    public internal(set) var stateTime: Timestamp
    public internal(set) var message = "created"
    /// Why it does not run; empty when it does or may.
    public internal(set) var error = ""
    public var containerID = ""
    public var pid: Int32 = 0
    public var exitCode: Int64 = 0
    /// It was told to stop: by a change, by scaling, by its removal; not by its own end.
    public internal(set) var isTold = false
    /// When it first ran; kept after its end.
    public var runningSince: Timestamp?
    /// False when its health checks have failed as often as they may.
    public var isHealthy = true
    /// Its VM stands still until there is room for what it writes. Seen again by the next daemon, and so not stored.
    var isStalled = false
    /// What the tasks before it in its slot have been through.
    public var history: RestartHistory

    init(
        service: ServiceRecord, slot: Int, nodeID: String = "", spec: TaskSpec? = nil, templateVersion: UInt64? = nil,
        history: RestartHistory = RestartHistory(), counter: VersionCounter
    ) {
        id = ClusterIdentifier.make()
        version = DocumentVersion(counter)
        self.history = history
        self.templateVersion = templateVersion ?? service.templateVersion
        serviceID = service.id
        self.slot = slot
        self.nodeID = nodeID
        self.spec = spec ?? service.spec.task
        jobIteration = service.jobIteration
        isJob = service.spec.mode.isJob
        desired = isJob ? .complete : .running
        stateTime = version.created
    }

    public var created: Timestamp { version.created }

    /// The last moment it knows of.
    var latest: Timestamp { max(version.created, version.updated, stateTime, runningSince ?? stateTime) }

    /// The clock was set by so many nanoseconds: what was a minute ago still is.
    mutating func shift(by nanoseconds: Int64) {
        version.shift(by: nanoseconds)
        stateTime = stateTime.advanced(by: nanoseconds)
        runningSince = runningSince?.advanced(by: nanoseconds)
        history.windowBegan = history.windowBegan?.advanced(by: nanoseconds)
    }

    /// Goes on to a state; never back.
    mutating func enter(_ state: TaskState, _ message: String, error: String = "") {
        guard state >= self.state else { return }
        if state == .running, runningSince == nil { runningSince = SystemClock.now() }
        self.state = state
        self.message = message
        self.error = error
        stateTime = SystemClock.now()
    }

    /// Why it does not do its work; empty when it does or may.
    var obstacle: String { isStalled && state.isActive ? Container.stallText : error }

    /// Whether it is wanted to run, or to end by itself.
    public var isWanted: Bool { desired <= .complete }

    init(json: JSON) throws(SkalaError) {
        id = json["ID"].string ?? ""
        version = try DocumentVersion(json: json)
        serviceID = json["ServiceID"].string ?? ""
        slot = Int(json["Skala"]["Slot"].int ?? 0)
        isJob = json["Skala"]["Job"].bool ?? false
        nodeID = json["NodeID"].string ?? ""
        spec = try TaskSpec(json: json["Spec"])
        jobIteration = json["JobIteration"]["Index"].int ?? 0
        let status = json["Status"]
        state = TaskState(rawValue: status["State"].string ?? "") ?? .new
        desired = TaskState(rawValue: json["DesiredState"].string ?? "") ?? .running
        stateTime = try Timestamp(parsing: status["Timestamp"].string ?? "")
        message = status["Message"].string ?? ""
        error = status["Err"].string ?? ""
        containerID = status["ContainerStatus"]["ContainerID"].string ?? ""
        pid = Int32(clamping: status["ContainerStatus"]["PID"].int ?? 0)
        exitCode = status["ContainerStatus"]["ExitCode"].int ?? 0
        let own = json["Skala"]
        templateVersion = UInt64(clamping: own["Template"].int ?? 0)
        isTold = own["Told"].bool ?? false
        if let text = own["RunningSince"].string { runningSince = try Timestamp(parsing: text) }
        history = RestartHistory(
            shortLives: Int(own["ShortLives"].int ?? 0), restarts: Int(own["Restarts"].int ?? 0))
        if let text = own["WindowBegan"].string { history.windowBegan = try Timestamp(parsing: text) }
    }

    /// In the store.
    var json: JSON {
        var json = document
        if isStalled { json["Status"]["Err"] = JSON(error) }
        json["Skala"] = [
            "Slot": JSON(slot), "Job": JSON(isJob), "Template": JSON(templateVersion),
            "RunningSince": JSON(runningSince?.text),
            "Told": JSON(isTold), "ShortLives": JSON(history.shortLives), "Restarts": JSON(history.restarts),
            "WindowBegan": JSON(history.windowBegan?.text),
        ]
        return json
    }

    /// As the API shows it, without networks.
    public var document: JSON {
        var json = version.fields(id)
        json["Labels"] = [:]
        json["Spec"] = spec.json
        json["ServiceID"] = JSON(serviceID)
        // Clients count the slots of jobs from 0.
        if slot != 0 { json["Slot"] = JSON(isJob ? slot - 1 : slot) }
        if !nodeID.isEmpty { json["NodeID"] = JSON(nodeID) }
        var status: JSON = [
            "Timestamp": JSON(stateTime.text), "State": JSON(state.rawValue), "Message": JSON(message),
        ]
        if !obstacle.isEmpty { status["Err"] = JSON(obstacle) }
        if !containerID.isEmpty {
            status["ContainerStatus"] = [
                "ContainerID": JSON(containerID), "PID": JSON(pid), "ExitCode": JSON(exitCode),
            ]
        }
        status["PortStatus"] = [:]
        json["Status"] = status
        json["DesiredState"] = JSON(desired.rawValue)
        if isJob { json["JobIteration"] = ["Index": JSON(jobIteration)] }
        return json
    }
}
