// Who is logged in: name, role (admin or viewer), and info of the brain.
export const session = { name: '', role: 'viewer', info: null };
export const mayChange = () => session.role === 'admin';
