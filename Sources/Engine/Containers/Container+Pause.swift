import Base

extension Container {
    public func pause() async throws {
        try requireRunning()
        guard record.state.status != .paused else { throw SkalaError(.conflict, "container \(id) is already paused") }
        guard !isBeingCaptured else { throw SkalaError(.conflict, "a snapshot of container \(id) is being taken") }
        try await freeze("pause")
        record.state.status = .paused
        try await persist()
        publish("pause")
    }

    public func unpause() async throws {
        guard record.state.status == .paused else { throw SkalaError(.conflict, "Container \(id) is not paused") }
        try await freeze("resume")
        record.state.status = .running
        // It was not asked while it was paused.
        if machine != nil { await containers.askMachinesSoon() }
        try await persist()
        publish("unpause")
    }

    /// Stops a container for a moment, or lets it go on: a VM of its own with all that is in it, in a pod only this one.
    func freeze(_ operation: String) async throws {
        switch record.isolation {
        case .container, .pod: try await sandbox.request(operation, ["id": JSON(id)])
        case .microvm, .machine: try await engine.warden.request(operation, ["id": JSON(record.hostID)])
        }
    }
}
