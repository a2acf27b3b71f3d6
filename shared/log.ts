/** How the parts say what they do: whoever starts them decides where the lines go, and in which form. */
export type LogLevel = 'info' | 'warn' | 'error';

export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;
