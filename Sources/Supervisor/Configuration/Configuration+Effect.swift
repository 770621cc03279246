extension Configuration {
    /// Keys that were set and that this version checks but does not act on. An operator is told at the start:
    /// a limit that is believed in and does not hold is worse than none.
    var keysWithoutEffect: [String] {
        let standard = Configuration()
        var keys: [String] = []
        if self.controlSocket != nil { keys.append("control_socket") }
        if self.timeouts.streamIdle != standard.timeouts.streamIdle { keys.append("timeouts.stream_idle") }
        if self.timeouts.streamTotal != standard.timeouts.streamTotal { keys.append("timeouts.stream_total") }
        return keys
    }
}
