/// The error codes of the contract (protocol §6).
public enum ErrorCode: Int, CaseIterable, Sendable {
    case parseError = -32700
    case invalidRequest = -32600
    case methodNotFound = -32601
    case invalidParams = -32602
    case internalError = -32603
    case notPermitted = -32001
    case requestCancelled = -32800
    case workerUnavailable = 1001
    case communicationTimeout = 1002
    case serializationError = 1003
    case workerCrashed = 2001
    case workerOverloaded = 2002
    case resourceExhausted = 2003
    case pipelineNotFound = 3001
    case pipelineInitializationFailed = 3002
    case pipelineExecutionError = 3003
    case invalidConfiguration = 4001
    case missingDependencies = 4002
    case databaseConnectionError = 5001
    case insufficientResources = 5002

    /// The name in `error.data.name`.
    public var name: String {
        switch self {
        case .parseError: "Parse error"
        case .invalidRequest: "Invalid Request"
        case .methodNotFound: "Method not found"
        case .invalidParams: "Invalid params"
        case .internalError: "Internal error"
        case .notPermitted: "Not permitted"
        case .requestCancelled: "Request cancelled"
        case .workerUnavailable: "WORKER_UNAVAILABLE"
        case .communicationTimeout: "COMMUNICATION_TIMEOUT"
        case .serializationError: "SERIALIZATION_ERROR"
        case .workerCrashed: "WORKER_CRASHED"
        case .workerOverloaded: "WORKER_OVERLOADED"
        case .resourceExhausted: "RESOURCE_EXHAUSTED"
        case .pipelineNotFound: "PIPELINE_NOT_FOUND"
        case .pipelineInitializationFailed: "PIPELINE_INITIALIZATION_FAILED"
        case .pipelineExecutionError: "PIPELINE_EXECUTION_ERROR"
        case .invalidConfiguration: "INVALID_CONFIGURATION"
        case .missingDependencies: "MISSING_DEPENDENCIES"
        case .databaseConnectionError: "DATABASE_CONNECTION_ERROR"
        case .insufficientResources: "INSUFFICIENT_RESOURCES"
        }
    }
}
