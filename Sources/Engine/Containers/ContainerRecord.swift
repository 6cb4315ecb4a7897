public import Base

/// What is kept of a container in the store.
///
/// `config` and `hostConfig` are the documents of the API (`ContainerConfig`, `HostConfig`), complete: `create` has
/// merged the image's configuration and every default into them.
public struct ContainerRecord: Sendable {
    public var id: String
    public var name: String
    public var created: Timestamp
    /// The image's id, and its name as the user wrote it.
    public var imageID: String
    public var imageName: String
    public var config: JSON
    public var hostConfig: JSON
    /// The endpoint settings asked for, by network name, in the order they are connected.
    public var networks: JSONObject
    public var mounts: [Mount]
    public var state = ContainerState()
    public var restartCount: Int64 = 0
    /// The user stopped it: the restart policy `unless-stopped` leaves it alone when the daemon starts.
    public var hasBeenManuallyStopped = false
    /// The cores it has for itself while it runs; empty without.
    public var dedicatedCores = ""
    /// The VM it runs in, as the host's warden knows it; empty without.
    public var machineID = ""
    /// The pod it belongs to; empty without.
    public var podID = ""
    /// Of that pod.
    public var podName = ""
    /// The size that VM was given when it started: bytes, and processors.
    var machineMemory: Int64 = 0
    /// The bytes that were written over the image when the last VM ended.
    var machineWritten: Int64 = 0
    var machineProcessors = 0
    /// In the order they were taken.
    public var snapshots: [Snapshot] = []
    /// The one that was taken or restored last; empty without.
    public var currentSnapshot = ""
    /// What `Networks` needs to take the running container over after the daemon's restart.
    public var networkState = JSON.null

    /// A volume, bind or tmpfs in the container.
    public struct Mount: Sendable {
        /// `volume`, `bind` or `tmpfs`.
        public var type: String
        /// The volume's name, empty for others.
        public var name: String
        /// The path on the host; empty for tmpfs.
        public var source: String
        public var destination: String
        public var isReadOnly: Bool
        /// As given by the user after the second colon: `z`, `ro`, `rslave`.
        public var mode: String
        public var propagation: String
        /// Mount options of a tmpfs.
        public var options: [String] = []
        /// Copy what the image has at the destination into a new, empty volume.
        public var copiesUp = false
        /// Made for this container by an image's VOLUME: goes with it under `rm -v` and `--rm`.
        public var isAnonymous = false
    }

    /// What the host's warden knows it by: its own id, or its VM's.
    var hostID: String { machineID.isEmpty ? id : machineID }

    /// Where the container's program comes from: the entrypoint, then the command.
    public var commandLine: [String] {
        (config["Entrypoint"].strings ?? []) + (config["Cmd"].strings ?? [])
    }

    /// The isolation: which sandbox's warden runs it.
    public var isolation: Isolation { hostConfig["Runtime"].string.flatMap(Isolation.init(rawValue:)) ?? .container }
}

/// What a container does, as in the API's `ContainerState`.
public struct ContainerState: Sendable {
    public enum Status: String, Sendable {
        case created, running, paused, restarting, removing, exited, dead
    }

    public var status = Status.created
    public var pid: Int32 = 0
    public var exitCode: Int64 = 0
    public var error = ""
    public var isOOMKilled = false
    /// The engine lost it, with the warden that ran it: its end is not its own.
    public var isLost = false
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp?

    /// A process exists.
    public var isAlive: Bool { status == .running || status == .paused }

    /// The API's document, without health.
    public var json: JSON {
        [
            "Status": JSON(status.rawValue), "Running": JSON(isAlive || status == .restarting),
            "Paused": JSON(status == .paused), "Restarting": JSON(status == .restarting),
            "OOMKilled": JSON(isOOMKilled), "Dead": JSON(status == .dead), "Pid": JSON(pid),
            "ExitCode": JSON(exitCode), "Error": JSON(error),
            "StartedAt": JSON(startedAt?.text ?? Timestamp.zeroText),
            "FinishedAt": JSON(finishedAt?.text ?? Timestamp.zeroText),
        ]
    }

    init() {}

    init(json: JSON) {
        status = json["Status"].string.flatMap(Status.init(rawValue:)) ?? .created
        pid = Int32(clamping: json["Pid"].int ?? 0)
        exitCode = json["ExitCode"].int ?? 0
        error = json["Error"].string ?? ""
        isOOMKilled = json["OOMKilled"].bool ?? false
        startedAt = ContainerState.time(json["StartedAt"])
        finishedAt = ContainerState.time(json["FinishedAt"])
    }

    private static func time(_ json: JSON) -> Timestamp? {
        guard let text = json.string, text != Timestamp.zeroText else { return nil }
        return try? Timestamp(parsing: text)  // written by ourselves; a broken one means never
    }
}

extension ContainerRecord {
    /// The document in the store.
    var json: JSON {
        [
            "id": JSON(id), "name": JSON(name), "created": JSON(created.nanoseconds), "imageID": JSON(imageID),
            "imageName": JSON(imageName), "config": config, "hostConfig": hostConfig, "networks": .object(networks),
            "mounts": JSON(mounts.map(\.json)), "state": state.json, "lost": JSON(state.isLost),
            "restartCount": JSON(restartCount),
            "manuallyStopped": JSON(hasBeenManuallyStopped), "network": networkState,
            "dedicatedCores": JSON(dedicatedCores), "machine": JSON(machineID), "pod": JSON(podID),
            "podName": JSON(podName), "machineMemory": JSON(machineMemory),
            "machineProcessors": JSON(machineProcessors),
            "machineWritten": JSON(machineWritten),
            "snapshots": JSON(snapshots.map(\.json)), "currentSnapshot": JSON(currentSnapshot),
        ]
    }

    init(json: JSON) throws(SkalaError) {
        guard let id = json["id"].string, let name = json["name"].string else {
            throw SkalaError(.invalid, "a container's record in the store has no id or name")
        }
        self.id = id
        self.name = name
        created = Timestamp(nanoseconds: json["created"].int ?? 0)
        imageID = json["imageID"].string ?? ""
        imageName = json["imageName"].string ?? ""
        config = json["config"]
        hostConfig = json["hostConfig"]
        networks = json["networks"].object ?? JSONObject()
        mounts = (json["mounts"].array ?? []).map(Mount.init(json:))
        state = ContainerState(json: json["state"])
        state.isLost = json["lost"].bool ?? false
        restartCount = json["restartCount"].int ?? 0
        hasBeenManuallyStopped = json["manuallyStopped"].bool ?? false
        networkState = json["network"]
        dedicatedCores = json["dedicatedCores"].string ?? ""
        machineID = json["machine"].string ?? ""
        podID = json["pod"].string ?? ""
        podName = json["podName"].string ?? ""
        machineMemory = json["machineMemory"].int ?? 0
        machineWritten = json["machineWritten"].int ?? 0
        machineProcessors = Int(json["machineProcessors"].int ?? 0)
        snapshots = try (json["snapshots"].array ?? []).map { json throws(SkalaError) in try Snapshot(json: json) }
        currentSnapshot = json["currentSnapshot"].string ?? ""
    }
}

extension ContainerRecord.Mount {
    var json: JSON {
        [
            "type": JSON(type), "name": JSON(name), "source": JSON(source), "destination": JSON(destination),
            "readOnly": JSON(isReadOnly), "mode": JSON(mode), "propagation": JSON(propagation),
            "options": JSON(options), "copiesUp": JSON(copiesUp), "anonymous": JSON(isAnonymous),
        ]
    }

    init(json: JSON) {
        type = json["type"].string ?? ""
        name = json["name"].string ?? ""
        source = json["source"].string ?? ""
        destination = json["destination"].string ?? ""
        isReadOnly = json["readOnly"].bool ?? false
        mode = json["mode"].string ?? ""
        propagation = json["propagation"].string ?? ""
        options = json["options"].strings ?? []
        copiesUp = json["copiesUp"].bool ?? false
        isAnonymous = json["anonymous"].bool ?? false
    }

    /// The API's `MountPoint`.
    public var point: JSON {
        var point: JSON = ["Type": JSON(type)]
        if !name.isEmpty { point["Name"] = JSON(name) }
        point["Source"] = JSON(source)
        point["Destination"] = JSON(destination)
        if type == "volume" { point["Driver"] = "local" }
        point["Mode"] = JSON(mode)
        point["RW"] = JSON(!isReadOnly)
        point["Propagation"] = JSON(propagation)
        return point
    }
}
