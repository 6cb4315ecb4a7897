/// All commands.
enum CommandTable {
    static let sections: [(title: String, commands: [Command])] = [
        (
            "Containers",
            [
                ContainerRun.command, ContainerCreate.command, ContainerStart.command, ContainerStates.stop,
                ContainerStates.restart, ContainerStates.kill, ContainerStates.pause, ContainerStates.unpause,
                ContainerStates.remove, ContainerStates.wait, ContainerList.command, ContainerExec.command,
                ContainerAttach.command, ContainerLogs.command, ContainerCopy.command, ContainerChanges.diff,
                ContainerChanges.commit, ContainerChanges.export, ContainerChanges.rename, ContainerChanges.update,
                ContainerSnapshots.snapshot, ContainerSnapshots.restore, ContainerSnapshots.clone,
                ContainerSnapshots.convert, ContainerChanges.port, ContainerStats.command, LiveTop.command,
            ]
        ),
        ("Projects", [ComposeCommands.up, ComposeCommands.down, ComposeCommands.scale]),
        (
            "Images",
            [
                ImageList.command, ImagePull.command, ImageTransfer.push, ImageBuild.command, ImageChanges.tag,
                ImageChanges.remove, ImageChanges.history, ImageTransfer.save,
                ImageTransfer.import, RegistryLogin.login, RegistryLogin.logout,
            ]
        ),
        (
            "Services",
            [
                ServiceCommands.group, SwarmCommands.group, LoadCommand.command, LabCommands.group, LabAdvice.ofService,
            ]
        ),
        (
            "Engine",
            [
                EngineDaemon.command, HostDoctor.command, HostBench.command, NetworkCommands.group,
                VolumeCommands.group, PodCommands.group, KernelCommands.group, MachineCommands.group,
                SystemCommands.group,
                ObjectInspect.command,
                SystemCommands.events, SystemCommands.info, SystemCommands.version, ShellCompletion.command,
            ]
        ),
    ]

    /// Commands this program calls itself by.
    private static let hidden = [ProbeProcess.command]

    static func find(_ name: String) -> Command? {
        if let command = hidden.first(where: { $0.name == name }) { return command }
        for section in sections {
            if let command = section.commands.first(where: { $0.name == name }) { return command }
        }
        return nil
    }
}
